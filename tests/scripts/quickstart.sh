#!/bin/bash
# scripts/quickstart, with the set-up, the build and the program played by stand-ins: what it runs and prints. quickstart.sh WORK_DIR
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$1
rm -rf "$work"
mkdir -p "$work/scripts" "$work/build/release" "$work/images"
cp "$source/scripts/quickstart" "$source/scripts/common.sh" "$work/scripts"
printf '#!/bin/sh\necho "built $*"\n' >"$work/scripts/build"
cat >"$work/build/release/unlabel" <<'END'
#!/bin/bash
set -e
if [[ "$*" == *" --out runs/timing-"* ]]; then
  echo "$*" >>timings
  summary="{\"images_per_second\": ${RATE:-400}, \"steps_per_epoch\": 468, \"epochs\": 3, \"batch_size\": 128, \"precision\": \"float32\"}"
  for ((i = 1; i < $#; ++i)); do
    if [[ ${!i} == --json ]]; then
      i=$((i + 1))
      echo "$summary" >"${!i}"
    fi
  done
  [[ "$*" != *--wrong* ]] || { echo "unlabel: no option --wrong" >&2 && exit 2; }
  exit
fi
echo "$*" >>calls
if [[ $1 == pretrain && ! -e runs/quickstart/encoder.safetensors ]]; then
  sleep 1.1
  [[ -e stop ]] && exit 75
  touch runs/quickstart/encoder.safetensors
elif [[ $1 == linear && -e stop ]]; then
  exit 75
fi
while (($# > 0)); do
  case $1 in
    --json) printf '{"metric": "accuracy", "value": 0.8125}' >"$2" ;;
    --fail) exit 3 ;;
  esac
  shift
done
END
chmod +x "$work/scripts/build" "$work/build/release/unlabel"
cd "$work"
fail() {
  echo "quickstart: $*" >&2
  exit 1
}

if QUICKSTART_DATA=$work/nowhere scripts/quickstart >out 2>&1; then fail "no data set, and it went on"; fi
grep -q "no data set in $work/nowhere" out || fail "does not say that the data set is missing"
[[ ! -e runs ]] || fail "left a run though there are no data"

mkdir elsewhere
(cd elsewhere && QUICKSTART_DATA=../images ../scripts/quickstart --epochs 2 --precision bf16 >../out) || fail "a relative folder of data is not found"
export QUICKSTART_DATA=$work/images
diff - calls <<END
pretrain swav --data idx:$work/images --recipe fashion_mnist --out runs/quickstart --epochs 2 --precision bf16
knn --protocol dino --data idx:$work/images --json runs/quickstart/learned-knn.json --checkpoint runs/quickstart
linear --protocol features --data idx:$work/images --json runs/quickstart/learned-linear.json --checkpoint runs/quickstart
knn --protocol dino --data idx:$work/images --json runs/quickstart/untrained-knn.json --untrained --checkpoint runs/quickstart
linear --protocol features --data idx:$work/images --json runs/quickstart/untrained-linear.json --untrained --checkpoint runs/quickstart
knn --protocol dino --data idx:$work/images --json runs/quickstart/pixels-knn.json --pixels
linear --protocol features --data idx:$work/images --json runs/quickstart/pixels-linear.json --pixels
END
grep -qE '^learned by SwAV +81\.[23] +81\.[23]$' out || fail "no table: $(cat out)"
grep -q 'pretrain swav --data ~/photos' out || fail "does not say what to run next"

scripts/quickstart >again
(($(wc -l <calls) == 7)) || fail "a second start ran something"
grep -q 'learned by SwAV' again && grep -q 'rm -r runs/quickstart' again || fail "a second start does not show the table and how to start anew"

rm -r runs
touch stop # while training
code=0 && scripts/quickstart >out 2>&1 || code=$?
((code == 75)) || fail "a stop while training ended with $code"
before=$(cat runs/quickstart/trained-seconds)
((before >= 1)) || fail "forgot how long it trained before it was stopped"
touch runs/quickstart/encoder.safetensors # and while measuring
if scripts/quickstart >out 2>&1; then fail "stopped while measuring, and it went on"; fi
rm stop
scripts/quickstart >out
grep -q "(trained for $before s, " out || fail "forgot how long it trained: $(cat out)"

rm -r runs calls
if scripts/quickstart --fail >out 2>&1; then fail "training failed, and it went on"; fi
[[ $(wc -l <calls) == 1 && ! -e runs/quickstart/table.txt ]] || fail "measured what was not trained"
grep -q -- '--epochs 3' calls || fail "the default epochs are gone"

# How long it will take, from a few steps with the options that are asked for, in a run that is gone afterwards.
told() { # RATE, options: what is said of the time
  rm -rf runs timings
  RATE=$1 scripts/quickstart "${@:2}" 2>&1 | grep -E '^(training will take|shorter)' || true
}
[[ $(told 400 --seed 4) == "training will take about 7 min here (400 images a second in float32), measuring some minutes more" ]] ||
  fail "does not say how long it takes: $(told 400)"
grep -qE -- '^pretrain swav --data idx:.* --recipe fashion_mnist --out runs/timing-[^ ]+ --epochs 3 --seed 4 --max-steps 16 ' timings ||
  fail "did not time what is asked for: $(cat timings)"
! compgen -G 'runs/timing-*' >/dev/null || fail "left the timed run"
told 100 >told_time
grep -q '^training will take about 30 min here' told_time || fail "wrong time: $(cat told_time)"
grep -q 'scripts/quickstart --epochs 2, which takes about 20 min ' told_time || fail "names nothing shorter: $(cat told_time)"
told 10 >told_time
grep -q '^training will take about 5.0 hours here' told_time || fail "wrong time: $(cat told_time)"
grep -q 'scripts/quickstart --max-steps 93, which takes about 20 min ' told_time || fail "names nothing shorter: $(cat told_time)"
told 10 --max-steps 47 >told_time
grep -q '^training will take about 10 min here' told_time || fail "--max-steps does not count: $(cat told_time)"
if grep -q shorter told_time; then fail "names something shorter than 10 minutes"; fi
grep -q -- '--max-steps 16 ' timings && ! grep -q -- '--max-steps 47' timings || fail "times with two numbers of steps: $(cat timings)"
grep -q -- '--max-steps 47' calls || fail "forgot --max-steps: $(cat calls)"
rm -rf runs calls
code=0 && scripts/quickstart --wrong 1 >out 2>&1 || code=$?
[[ $code == 2 && ! -e runs/quickstart && ! -e calls ]] || fail "an option that is not known ended with $code: $(cat out)"
grep -q 'no option --wrong' out || fail "does not say why it ended: $(cat out)"
