"""Windows job objects: a tree of processes that ends as one, also when we crash."""

import sys

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _EXTENDED_LIMIT = 9
    _KILL_ON_JOB_CLOSE = 0x2000
    _SET_QUOTA_AND_TERMINATE = 0x0100 | 0x0001
    _THREAD_TERMINATE = 0x0001

    class _Basic(ctypes.Structure):
        _fields_ = [
            ("PerProcessUserTimeLimit", ctypes.c_int64),
            ("PerJobUserTimeLimit", ctypes.c_int64),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
        ]

    class _Extended(ctypes.Structure):
        _fields_ = [
            ("BasicLimitInformation", _Basic),
            ("IoInfo", ctypes.c_uint64 * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        ]

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.CreateJobObjectW.argtypes = [ctypes.c_void_p, wintypes.LPCWSTR]
    _kernel32.CreateJobObjectW.restype = wintypes.HANDLE
    _kernel32.SetInformationJobObject.argtypes = [wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD]
    _kernel32.AssignProcessToJobObject.argtypes = [wintypes.HANDLE, wintypes.HANDLE]
    _kernel32.TerminateJobObject.argtypes = [wintypes.HANDLE, wintypes.UINT]
    _kernel32.OpenProcess.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.DWORD]
    _kernel32.OpenProcess.restype = wintypes.HANDLE
    _kernel32.OpenThread.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.DWORD]
    _kernel32.OpenThread.restype = wintypes.HANDLE
    _kernel32.CancelSynchronousIo.argtypes = [wintypes.HANDLE]
    _kernel32.CloseHandle.argtypes = [wintypes.HANDLE]

    def _checked(result: int | None) -> int:
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result

    class Job:
        """A job that holds one child and all that descends from it. While it is open the tree ends with us."""

        def __init__(self, pid: int) -> None:
            """Takes the (suspended) process ``pid`` in. Raises OSError."""
            self._handle = _checked(_kernel32.CreateJobObjectW(None, None))
            try:
                self._limit(_KILL_ON_JOB_CLOSE)
                process = _checked(_kernel32.OpenProcess(_SET_QUOTA_AND_TERMINATE, False, pid))
                try:
                    _checked(_kernel32.AssignProcessToJobObject(self._handle, process))
                finally:
                    _kernel32.CloseHandle(process)
            except OSError:
                _kernel32.CloseHandle(self._handle)
                raise

        def terminate(self) -> None:
            """Ends every process of the tree. Raises OSError."""
            _checked(_kernel32.TerminateJobObject(self._handle, 1))

        def release(self) -> None:
            """Closes the job; what is left of the tree lives on."""
            try:
                self._limit(0)
            finally:
                _kernel32.CloseHandle(self._handle)

        def _limit(self, flags: int) -> None:
            info = _Extended()
            info.BasicLimitInformation.LimitFlags = flags
            _checked(_kernel32.SetInformationJobObject(self._handle, _EXTENDED_LIMIT, ctypes.byref(info),
                                                       ctypes.sizeof(info)))

    def cancel_read(thread: int) -> None:
        """Makes the blocking read of a thread (its native id) fail. Best effort."""
        handle = _kernel32.OpenThread(_THREAD_TERMINATE, False, thread)
        if handle:
            _kernel32.CancelSynchronousIo(handle)
            _kernel32.CloseHandle(handle)
