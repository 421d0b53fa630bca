"""``make bench``: figures as ratios, each pair measured in the same run, in turns."""

import argparse
import statistics

from tests.bench.due import ours, plain


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` of them lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> int:
    """0 if the bar is met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    found: dict[str, list[float]] = {"plain": [], "ours": []}
    print(f"{chosen.tasks} tasks due at once, {chosen.workers} workers; lateness in ms")
    for turn in range(chosen.rounds):
        for name, run in (("plain", plain), ("ours", ours)):
            late = run(chosen.tasks, chosen.workers)
            found[name].append(percentile(late, 0.99))
            print(f"round {turn + 1} {name:5}  p50 {percentile(late, 0.5):7.1f}  p99 {found[name][-1]:7.1f}  "
                  f"max {max(late):7.1f}", flush=True)
    ratio = statistics.median(found["ours"]) / statistics.median(found["plain"])
    print(f"p99, median of the rounds: ours {statistics.median(found['ours']):.1f}, plain "
          f"{statistics.median(found['plain']):.1f}: ratio {ratio:.2f} (bar 2.00)")
    return 0 if ratio <= 2.0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
