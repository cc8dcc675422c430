#!/bin/bash
# scripts/results, with the program and lightly played by fake_program: what it runs, goes on with, chooses and writes. It learns
# nothing, but takes only the options that the program takes. results_test.sh WORK_DIR PROGRAM
set -euo pipefail
source=$(cd "$(dirname "$0")/../../.." && pwd)
work=$1 program=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work"
for command in pretrain knn linear; do
  "$program" $command --help | sed -nE 's/^ +--([a-z0-9._-]+).*/\1/p' >options_$command
done
fail() {
  echo "results: $*" >&2
  exit 1
}

for label in cat dog; do
  mkdir -p data/cifar10_jpegs/{train,test}/$label data/tinyimagenet50/tinyimagenet50/{train,val}/$label
  touch data/{cifar10_jpegs/test,tinyimagenet50/tinyimagenet50/{train,val}}/$label/{1,2,3}.JPEG
  (cd data/cifar10_jpegs/train/$label && touch {0001..1002}.jpg)
done

cp "$source/tests/bench/results/fake_program" unlabel
echo 1 >plan
echo bf16 >precision

results() { # options
  "$source/scripts/results" --data data --program ./unlabel --out out --page page.md "$@"
}
expect() { # CODE, options
  local code=0
  results "${@:2}" >log 2>&1 || code=$?
  ((code == $1)) || fail "scripts/results ${*:2} ended with $code and not $1: $(cat log)"
}
stop_while_held() { # SIGNAL, PATTERN: sends it once two runs have begun, and returns the exit code
  local before code=0 pid
  before=$(cat calls 2>/dev/null | wc -l)
  touch hold
  "$source/scripts/results" --data data --program ./unlabel --out out --slots 2 --only "$2" >log 2>&1 &
  pid=$!
  for ((i = 0; i < 3000; ++i)); do
    (($(cat calls 2>/dev/null | wc -l) >= before + 2)) && break
    sleep 0.02
  done
  kill -s "$1" $pid
  wait $pid || code=$?
  rm -f hold
  return $code
}
states() { # how many jobs that match have a result
  results --list --only "$1" | grep -c ': kNN' || true
}

mkdir empty
expect 2 --data empty --list
grep -q 'no cifar10_jpegs/train in it' log || fail "does not say which images are missing: $(cat log)"

# Stopped while two runs learn; the same again goes on. Then the seeds that waited for the best rate.
code=0 && stop_while_held TERM ^cifar10/swav || code=$?
((code == 75)) || fail "stopped, and ended with $code: $(cat log)"
grep -q '^0 done, 3 left$' log || fail "does not say what is left: $(cat log)"
[[ $(cat out/cifar10/swav-*/run/checkpoints/latest) == $'saved\nsaved' ]] || fail "did not let the runs save"
(($(find -L out/data/cifar10/train -name '*.jpg' | wc -l) == 2000)) || fail "the first 1,000 images of each class are not there"
expect 0 --slots 2 --only ^cifar10/swav
(($(states ^cifar10/swav) == 5)) || fail "of SwAV not all is there: $(cat log)"
sort calls | uniq -c | sed 's/^ *//' >counts
diff - counts <<END_OF_CALLS
2 swav 0.1 0
2 swav 0.4 0
1 swav 0.4 1
1 swav 0.4 2
1 swav 1.2 0
END_OF_CALLS
[[ ! -e $(echo out/cifar10/swav-lr0.4-seed0-*/run/checkpoints) ]] || fail "kept checkpoints of a run that is done"
[[ -s $(echo out/cifar10/swav-lr0.4-seed0-*/run/encoder.safetensors) ]] || fail "did not keep the encoder"
expect 0 --only ^cifar10/swav
(($(wc -l <calls) == 7)) || fail "did again what was done"

# Killed: its runs end with it, and the same again waits for them.
code=0 && stop_while_held KILL ^cifar10/byol || code=$?
((code == 137)) || fail "killed, and ended with $code"
expect 0 --only ^cifar10/byol
(($(states ^cifar10/byol) == 5)) || fail "after a kill -9 not all is done"
(($(grep -c byol calls) == 7)) || fail "the runs of a killed script went on: $(cat calls)"

# One that fails is told, and the others are done.
touch broken
expect 1
grep -q 'failed: cifar10/simclr-lr0.2-seed1: ended with 3: out of luck' log || fail "does not tell the failure: $(cat log)"
grep -q '^56 done, 22 left, of which 8 wait for a learning rate$' log || fail "did not do the others: $(cat log)"
grep -q 'give --peers' log || fail "does not say that lightly's runs are left out"
rm broken

printf 'before\n<!-- scripts/results: begin -->\nold\n<!-- scripts/results: end -->\nafter\n' >page.md
expect 0 --list --write
grep -q '^| SimCLR | 0.2 | 34.0 ± 1.4 | 33.0, -, 35.0 |' page.md || fail "a missing seed is not shown: $(cat page.md)"
grep -qF "| lightly's BYOL | - | - | - | - | - | - |" page.md || fail "missing rows are not shown: $(cat page.md)"
if grep -q -e "beside lightly's" -e SimCLR, page.md; then fail "compares what is not all there: $(cat page.md)"; fi
grep -q '^11 of 39 runs are missing\.$' page.md || fail "does not say how much is missing: $(cat page.md)"

expect 0 --peers ./unlabel --write
grep -q '^78 done, 0 left$' log || fail "not all is done: $(cat log)"
sed -E 's/^((\|[^|]*){6})\|[^|]*\|/\1|/' page.md >rows # without the minutes
wanted() {
  grep -qxF "$1" rows || fail "not in the page: $1 $(cat page.md)"
}
wanted '2,000 training and 6 test images, 10 epochs.'
wanted '6 training and 6 test images, 4 epochs.'
wanted '| SwAV | 0.4 | 41.0 ± 1.0 | 40.0, 41.0, 42.0 | 46.0 ± 1.0 | 45.0, 46.0, 47.0 | none |'
wanted '| BYOL | 0.1 | 41.0 ± 1.0 | 40.0, 41.0, 42.0 | 46.0 ± 1.0 | 45.0, 46.0, 47.0 | none |'
moco=$(sed -nE 's/^ *"moco": .*"rates": \[([0-9.]+)\].*/\1/p' "$source/tests/bench/results/results.py") # one rate, which no other run here depends on
wanted "| MoCo v2 | $moco | 34.0 ± 1.0 | 33.0, 34.0, 35.0 | 39.0 ± 1.0 | 38.0, 39.0, 40.0 | seed 2: loss at step 80 |"
wanted "| lightly's SwAV | 0.4 | 39.0 ± 1.0 | 38.0, 39.0, 40.0 | 44.0 ± 1.0 | 43.0, 44.0, 45.0 |  |"
wanted '| untrained |  | 21.0 ± 1.0 | 20.0, 21.0, 22.0 | 26.0 ± 1.0 | 25.0, 26.0, 27.0 |  |'
wanted '| raw pixels, centered |  | 25.0 |  | 30.0 |  |  |'
wanted '| SwAV | 0.1: 33.0 | **0.4: 40.0** | 1.2: 33.0 |'
wanted "| lightly's BYOL | 0.1: 33.0 | **0.4: 38.0** | 1.2: diverged |"
wanted "SwAV beside lightly's: +2.0 points by kNN and +2.0 points by the linear probe."
wanted 'The least gain over an untrained encoder of its kind: +13.0 points (DeepCluster, kNN).'
(($(grep -c "Flagged as collapsed: moco-lr$moco-seed2\.$" page.md) == 2)) || fail "does not name the flagged run: $(cat page.md)"
[[ $(head -1 page.md) == before && $(tail -1 page.md) == after ]] || fail "changed what surrounds the tables"
if grep -q old page.md; then fail "kept the old tables"; fi

grep -q ' Peers: lightly 1\.2\.3, torch 4\.5\.$' page.md || fail "does not say whose peers: $(tail -5 page.md)"

# What is written into the project is known without the runs.
mv out elsewhere
expect 0 --peers ./unlabel --write
grep -q '^78 done, 0 left$' log || fail "does not know the recorded results: $(cat log)"
grep -q 'BYOL | 0.1 | 41.0' page.md || fail "lost the recorded results: $(cat page.md)"
rm -r out
mv elsewhere out

# Other settings are other jobs.
expect 0 --list --epochs 3 --only swav
grep -q '^0 done, 12 left$' log || fail "results of other settings are taken: $(cat log)"

# So are other plans, of our methods only.
echo 2 >plan
expect 0 --list --only swav
grep -q '^10 done, 6 left$' log || fail "results of another plan are taken, or lightly's are not: $(cat log)"
echo 1 >plan

# So is another precision, of a processor without bf16, of lightly's too; it is given by name.
echo float32 >precision
expect 0 --list --only cifar10/swav
grep -q '^0 done, 3 left' log || fail "results of another precision are taken: $(cat log)"
code=0 && stop_while_held TERM ^cifar10/swav || code=$?
grep -q -- '--precision float32 ' out/cifar10/swav-*/log || fail "the precision is not given by name"
echo bf16 >precision

# Rates that are all too large.
touch diverging
expect 1 --epochs 3 --only ^cifar10/swav
grep -q '^failed: cifar10/swav: every learning rate diverged' log || fail "does not say that no rate is left: $(cat log)"
[[ ! -e unknown ]] || fail "gives options that the program does not take: $(sort -u unknown)"
