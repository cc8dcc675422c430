#!/bin/bash
# scripts/test_summary counts every way that a test can end: summary.sh WORK_DIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1
rm -rf "$work"
cmake -S "$here/outcomes" -B "$work" >/dev/null
mkdir -p "$work/results" "$work/empty"
(cd "$work" && ctest --output-junit "$work/results/ctest.xml" >/dev/null 2>&1) || true

expect() { # LAST_LINE, options of the summary
  local out status=0
  out=$(python3 "$here/../../scripts/test_summary" --build-seconds 60 "${@:2}") || status=$?
  [[ $(tail -1 <<<"$out") == "$1" ]] || { echo "wanted '$1', got:" && echo "$out" && exit 1; }
  [[ $1 == *" 0 failed"* && $1 != "0 passed"* ]] || ((status != 0)) || { echo "'$1' ended with 0" && exit 1; }
}

# passed: passes, 2 of gtest.passes, 2 of gtest.leaks; failed: fails, has_no_program, setup_that_fails, needs_the_setup, hangs, crashes, leaks
expect "5 passed, 7 failed, 3 skipped" --seconds 90 --record "$work/results.md" "$work/results"
expect "0 passed, 1 failed" --seconds 90 "$work/empty"
expect "5 passed, 8 failed, 3 skipped" --seconds 90 --record "$work/results.md" "$work/results" "$work/empty"

# Taking longer than the limit is a failure in CI, and told elsewhere; the limit itself is not beyond it.
CI=true expect "5 passed, 8 failed, 3 skipped" --seconds 4501 --limit-minutes 75 "$work/results"
CI=true expect "5 passed, 7 failed, 3 skipped" --seconds 4500 --limit-minutes 75 "$work/results"
for ci in "" false; do
  CI=$ci expect "5 passed, 7 failed, 3 skipped" --seconds 4501 --limit-minutes 75 "$work/results"
done
CI='' python3 "$here/../../scripts/test_summary" --build-seconds 60 --seconds 4501 --limit-minutes 75 "$work/results" >"$work/summary" || true
grep -q '^note: the default set took more than 75 minutes$' "$work/summary" || { echo "a long time is not told" && exit 1; }
grep -q '^build 1 min 0 s, tests 74 min 1 s, together 75 min 1 s$' "$work/summary" || { echo "times are not told" && exit 1; }

# Why a script was skipped is told.
python3 "$here/../../scripts/test_summary" --build-seconds 60 --seconds 90 "$work/results" >"$work/summary" || true
grep -q '^skipped: skips (no data) ' "$work/summary" || { echo "no reason is given" && cat "$work/summary" && exit 1; }

# The record is rewritten between its markers, and what surrounds them stays.
echo "after" >>"$work/results.md"
expect "5 passed, 7 failed, 3 skipped" --seconds 90 --record "$work/results.md" "$work/results"
[[ $(grep -c 'scripts/test --all: begin' "$work/results.md") == 1 && $(tail -1 "$work/results.md") == after ]]
grep -q '5 passed, 7 failed, 3 skipped' "$work/results.md"
