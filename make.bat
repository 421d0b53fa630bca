@echo off
rem Dingshi: the same words as the Makefile. Packages come from wherever this machine's pip takes them.
rem   set PYTHON=C:\path\python.exe    another Python       make fault SIZE=ci    the small size
setlocal
cd /d "%~dp0"
set "PY=.venv\Scripts\python.exe"
set "PIP=-m pip install --quiet --disable-pip-version-check --require-hashes"
if /i "%~2"=="SIZE" set "SIZE=%~3"
if "%SIZE%"=="" set "SIZE=full"
for %%w in (init run test check fault bench) do if /i "%~1"=="%%w" goto %%w

echo make init    set everything up here: environment in .venv, packages, store
echo make run     start (sets up first what is missing)
echo make test    all quick tests
echo make check   ruff, mypy for Linux and Windows
echo make fault   faults on purpose: kill -9, full disk and others (SIZE=ci: the small size)
echo make bench   speed, measured
if "%~1"=="" exit /b 0
exit /b 2

:init
call :setup || exit /b 1
exit /b 0

:run
rem The start makes the store, or brings it up to date after an update.
call :packages || exit /b 1
"%PY%" run.py
exit /b

:test
call :tools || exit /b 1
if not exist .venv\.initialised call :setup || exit /b 1
"%PY%" -m pytest -q -n auto tests --ignore=tests/browser --ignore=tests/fault --ignore=tests/bench
exit /b

:check
call :tools || exit /b 1
"%PY%" -m ruff check . || exit /b 1
"%PY%" -m mypy || exit /b 1
"%PY%" -m mypy --platform win32
exit /b

:fault
call :tools || exit /b 1
"%PY%" -m tests.fault --size %SIZE%
exit /b

:bench
call :tools || exit /b 1
"%PY%" -m tests.bench
exit /b

:setup
call :packages || exit /b 1
"%PY%" run.py init || exit /b 1
type nul > .venv\.initialised
exit /b 0

rem The copies in .venv tell which requirements are installed there.
:packages
call :environment || exit /b 1
fc /b requirements.txt .venv\.requirements.txt >nul 2>&1 && exit /b 0
echo Installing packages ...
"%PY%" %PIP% -r requirements.txt || exit /b 1
copy /y requirements.txt .venv\.requirements.txt >nul
exit /b

:tools
call :packages || exit /b 1
fc /b requirements-dev.txt .venv\.requirements-dev.txt >nul 2>&1 && exit /b 0
echo Installing packages for tests ...
"%PY%" %PIP% -r requirements-dev.txt || exit /b 1
copy /y requirements-dev.txt .venv\.requirements-dev.txt >nul
exit /b

rem Of the Pythons here the first that is new enough and can make an environment; else the one command that helps.
:environment
"%PY%" -m pip --version >nul 2>&1 && exit /b 0
if not "%PYTHON%"=="" call :try "%PYTHON%" && exit /b 0
call :try py -3 && exit /b 0
call :try python && exit /b 0
echo Dingshi needs Python 3.11 or newer with ensurepip. This helps: 1>&2
echo   winget install --exact --id Python.Python.3.12 1>&2
exit /b 1

:try
%* -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))" >nul 2>&1 || exit /b 1
echo Setting up .venv ...
%* -m venv --clear .venv
exit /b
