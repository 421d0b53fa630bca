"""Six shapes of process trees as shell commands, each alive for longer than any test; POSIX only."""

SECONDS = 60
TREES = {
    "plain child": f"sleep {SECONDS}; true",
    "background child": f"sleep {SECONDS} & sleep {SECONDS}; true",
    "TERM ignored": f"trap '' TERM; sleep {SECONDS}; sleep {SECONDS}",
    "setsid": f"setsid sleep {SECONDS} & sleep {SECONDS}; true",
    "double fork": f"(setsid sh -c 'sleep {SECONDS} & exit 0' &) ; sleep {SECONDS}; true",
    "output held": f"sleep {SECONDS} & exec sleep {SECONDS}",
}
PROCESSES = 15
"""So many they are together: shells and sleepers."""
