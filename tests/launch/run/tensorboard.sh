#!/bin/bash
# TensorBoard's own reader opens the event files of a run that stopped and went on, and shows what metrics.jsonl says.
#
# usage: tests/launch/run/tensorboard.sh UNLABEL WORK_FOLDER    exit 77: skipped
set -euo pipefail
unlabel=$1 work=$2
here=$(realpath "$(dirname "$0")")
data=/usr/share/datasets/fashion-mnist
if [[ ! -d $data ]]; then
  echo "skipped: no $data (Debian's dataset-fashion-mnist)"
  exit 77
fi
mkdir -p "$work"
python=$work/venv/bin/python
if ! cmp -s "$here/tensorboard_requirements.txt" "$work/installed.txt"; then
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  if ! "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-cache-dir --require-hashes --no-deps --only-binary :all: \
    -r "$here/tensorboard_requirements.txt"; then
    echo "skipped: pip could not install TensorBoard (no network?)"
    exit 77
  fi
  cp "$here/tensorboard_requirements.txt" "$work/installed.txt"
fi

run=$work/run
rm -rf "$run"
pretrain() {
  OMP_NUM_THREADS=1 "$unlabel" pretrain swav --data "idx:$data" --recipe fashion_mnist --encoder.width 4 --batch-size 16 --threads 1 \
    --checkpoint.every 4 --out "$run" "$@" >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
  }
}
pretrain --max-steps 6
rm -r "$run/checkpoints/step-00000006" "$run/encoder.safetensors" # as if it had been killed before: steps 4 and 5 are done again
pretrain --max-steps 9

"$python" - "$run" <<'END'
import json, sys
from tensorboard.backend.event_processing import event_accumulator

run = sys.argv[1]
reader = event_accumulator.EventAccumulator(run, size_guidance={event_accumulator.SCALARS: 0})
reader.Reload()
lines = [json.loads(line) for line in open(run + "/metrics.jsonl")]
assert [line["step"] for line in lines] == list(range(9)), lines
names = reader.Tags()["scalars"]
assert set(names) == {name for name in lines[0] if name != "step"}, names
for name in names:
    events = reader.Scalars(name)
    with_name = [line for line in lines if name in line]  # some are measured now and then
    assert [event.step for event in events] == [line["step"] for line in with_name], (name, [event.step for event in events])
    for event, line in zip(events, with_name):
        assert abs(event.value - line[name]) <= 1e-6 * abs(line[name]), (name, event, line)
print("TensorBoard shows", len(names), "curves of 9 steps")
END
