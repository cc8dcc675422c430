#!/bin/bash
# Makes what torchvision on Pillow 13 makes of photographs, for augment.SlowReference.
#
# usage: tests/augment/reference.sh WORK_FOLDER [TORCH_INCLUDE]    exit 77: skipped
#   WORK_FOLDER      the reference comes into WORK_FOLDER/photos (600 MB)
#   TORCH_INCLUDE    the headers of a LibTorch that is a Python wheel (.../site-packages/torch/include); torchvision is installed beside it
# $UNLABEL_DATA/photos100 holds the photographs, JPEGs. UNLABEL_PEERS_PYTHON=PYTHON is one that has torchvision 0.26, Pillow 13 and
# safetensors; without it a virtual environment is made.
set -euo pipefail
work=$1 torch=${2:-}
here=$(realpath "$(dirname "$0")")
skip() {
  echo "skipped: $*"
  exit 77
}
rm -rf "$work/photos"
mkdir -p "$work"
photos=${UNLABEL_DATA:-}/photos100
[[ -d $photos ]] || skip "UNLABEL_DATA names no folder with photographs in photos100/"

python=${UNLABEL_PEERS_PYTHON:-$work/venv/bin/python}
if [[ -z ${UNLABEL_PEERS_PYTHON:-} && ! -e $work/venv/complete ]]; then
  site=${torch%/torch/include}
  [[ -n $torch && -e $site/torch/__init__.py ]] ||
    skip "LibTorch here is not a wheel with Python's torch; UNLABEL_PEERS_PYTHON=PYTHON names a Python with torchvision 0.26 and Pillow 13"
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  pip=("$python" -m pip install --quiet --disable-pip-version-check --no-input)
  { "${pip[@]}" numpy==2.4.6 pillow==13.0.0 safetensors==0.8.0 sympy==1.14.0 && "${pip[@]}" --no-deps torchvision==0.26.0; } ||
    skip "pip could not install torchvision and Pillow (no network?)"
  echo "$site" >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch.pth"
  touch "$work/venv/complete"
fi
"$python" "$here/../golden/augment.py" --reference "$work/photos" --photos "$photos"
