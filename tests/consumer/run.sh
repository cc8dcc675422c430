#!/bin/bash
# Uses an installed unlabel from outside, as another project would: one CTest entry a case (tests/consumer/CMakeLists.txt). Only the two
# cases that show a build of `augment` by itself compile the library again, in groups of sources; the others link what BINARY_DIR has built.
#
# usage: run.sh CASE BINARY_DIR      BINARY_DIR: the build folder that is installed from
#   install            installs BINARY_DIR into BINARY_DIR/consumer/prefix, which the other cases use
#   augment_only       builds and installs `augment` by itself, with LibTorch out of reach, and a program that links it
#   augment_docs       the C++ and CMake of docs/augment.md
#   python             installs augment/python with pip (a project that takes unlabel in by add_subdirectory), uses it, also under a
#                      DataLoader, and trains lightly's SwAV and BYOL with it
#   ssl                a program that makes an encoder
#   readme             the C++ of README.md
#   extending          the program of docs/extending.md, which adds to each list: pretrains with its method, resumes, is measured
#   contracts          a method that learns from text and an agent with a loop of its own: trained, killed, resumed, on two ranks
#   missing_component  find_package says what is wrong with a component that is not there
set -euo pipefail
case_=$1 binary=$2
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
prefix=$binary/consumer/prefix
work=$binary/consumer/$case_
rm -rf "$work"
mkdir -p "$work"

fail() {
  echo "consumer/$case_: $*" >&2
  exit 1
}

# Configures and builds the project in $2 against the unlabel installed in $1.
build() { # PREFIX PROJECT [cmake options]
  cmake -G Ninja -S "$2" -B "$work/build" -DCMAKE_PREFIX_PATH="$1" -DCMAKE_BUILD_TYPE=Release "${@:3}"
  cmake --build "$work/build"
}

# Writes the blocks of a language in a page of documentation to a file.
extract() { # LANGUAGE PAGE FILE
  sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/{/^\`\`\`/!p}" "$2" >"$3"
  [[ -s $3 ]] || fail "$2 has no $1"
}

# Writes the blocks of a page that begin with a comment of a file's name (`// main.cpp`) to these files.
extract_files() { # PAGE FOLDER
  awk -v folder="$2" '/^```(cpp|cmake)$/ { getline; file = folder "/" $2; print >file; next } /^```$/ { file = "" } file { print >file }' "$1"
}

case $case_ in
  install)
    rm -rf "$prefix"
    cmake --install "$binary" --prefix "$prefix" >"$work/install.log"
    # The installed headers are spelled as in the tree, and the program finds LibTorch.
    [[ -e $prefix/include/unlabel/ssl/models/encoder.h ]] || fail "include/unlabel/ssl/models/encoder.h is not installed"
    ! ldd "$prefix/bin/unlabel" | grep 'not found' || fail "the installed program does not find its libraries"
    [[ -z $(find "$prefix/include" ! -name '*.h' -type f) ]] || fail "more than headers in include/"
    # What is a part of another header or source is not installed, and nothing that is installed includes it.
    for header in augment/fused/color-inl.h augment/python/convert.h launch/pretrain/run.h; do
      [[ -e $source/$header && ! -e $prefix/include/unlabel/$header ]] || fail "$header is no header of its own, and is installed"
    done
    grep -rhoE '#include <unlabel/[^>]+>' "$prefix/include" | sort -u | sed 's/.*<\(.*\)>/\1/' >"$work/included"
    while IFS= read -r header; do
      [[ -e $prefix/include/$header ]] || fail "an installed header includes <$header>, which is not installed"
    done <"$work/included"
    ;;
  augment_only)
    cmake -G Ninja -S "$source" -B "$work/unlabel" -DCMAKE_BUILD_TYPE=Debug -DUNLABEL_COMPONENTS=augment -DUNLABEL_TESTS=OFF -DUNLABEL_UNITY=ON \
      -DCMAKE_DISABLE_FIND_PACKAGE_LibTorch=ON -DCMAKE_INSTALL_PREFIX="$work/prefix"
    cmake --build "$work/unlabel"
    cmake --install "$work/unlabel" >"$work/install.log"
    [[ ! -e $work/prefix/include/unlabel/data ]] || fail "headers of other rooms are installed"
    build "$work/prefix" "$here/augment_only" -DCMAKE_DISABLE_FIND_PACKAGE_LibTorch=ON
    "$work/build/program"
    needed=$(readelf -d "$work/build/program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    echo "the program needs ${needed//$'\n'/ }"
    ! grep -E 'torch|c10|cuda' <<<"$needed" || fail "the program needs LibTorch"
    ! grep opencv <<<"$needed" | grep -vE 'libopencv_(core|imgproc|imgcodecs)\.so' || fail "the program needs more of OpenCV than three modules"
    ;;
  augment_docs)
    mkdir "$work/project"
    extract cpp "$source/docs/augment.md" "$work/project/main.cpp"
    {
      echo 'cmake_minimum_required(VERSION 3.25)
project(augment_docs LANGUAGES CXX)
add_executable(program main.cpp)'
      sed -n '/^```cmake$/,/^```$/{/^```/!p}' "$source/docs/augment.md"
    } >"$work/project/CMakeLists.txt"
    build "$prefix" "$work/project"
    python3 "$here/readme/photos.py" "$work/photos"
    photo=$work/photos/0.png
    "$work/build/program" "$photo" | tee "$work/output"
    (($(grep -c '^224 px' "$work/output") == 2 && $(grep -c '^96 px' "$work/output") == 6)) || fail "the program did not make eight views"
    if "$work/build/program" "$here/run.sh" 2>"$work/output"; then fail "a script passes for an image"; fi
    grep -q 'not an image' "$work/output" || fail "it does not say that a script is no image"
    needed=$(readelf -d "$work/build/program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    ! grep -vE '^(lib(opencv_(core|imgproc|imgcodecs)|jpeg|png16|tiff|hwy|stdc\+\+|gcc_s|c|m)|ld-linux.*)\.so' <<<"$needed" || fail "the program needs more than docs/augment.md says"
    strip "$work/build/program"
    size=$(stat -c %s "$work/build/program")
    echo "the program has $size bytes"
    ((size < 2000000)) || fail "2 MB are promised"
    ;;
  python)
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check "$source/augment/python" pillow
    "$work/venv/bin/python" "$here/python/use.py" "$work"
    module=$(find "$work/venv" -name '_core*.so')
    ! ldd "$module" | grep -E 'torch|not found' || fail "the module needs LibTorch, or does not find its libraries"
    # lightly by the wheel of LibTorch that is here; without its dependencies, but for what these modules import.
    torch=$(sed -n 's/^LibTorch_INCLUDE_DIR:PATH=\(.*\)\/torch\/include$/\1/p' "$binary/CMakeCache.txt")
    if [[ -e $torch/torch/__init__.py ]]; then
      "$work/venv/bin/pip" install --quiet --disable-pip-version-check aenum pydantic python-dateutil requests sympy tqdm
      "$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps torchvision==0.26.0 lightly==1.5.26
      echo "$torch" >"$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch.pth"
      mkdir "$work/images"
      cp -r "$work/photos/b" "$work/images/b"
      cp -r "$work/photos/b" "$work/images/c"
      "$work/venv/bin/python" "$here/python/data_loader.py" "$work/images"
      "$work/venv/bin/python" "$here/python/train_lightly.py" "$work/images"
    else
      echo "lightly is not trained: LibTorch here is not a wheel with Python's torch"
    fi
    ;;
  ssl)
    build "$prefix" "$here/ssl"
    "$work/build/program"
    ;;
  readme)
    extract cpp "$source/README.md" "$work/readme.cpp"
    build "$prefix" "$here/readme" -DREADME_CPP="$work/readme.cpp"
    python3 "$here/readme/photos.py" "$work/photos"
    "$work/build/program" "$work/photos" | tee "$work/output"
    grep -qE '^step 1: loss [0-9.]+$' "$work/output" || fail "the program did not print the loss of two steps"
    ;;
  extending)
    mkdir "$work/project" "$work/photos"
    extract_files "$source/docs/extending.md" "$work/project"
    build "$prefix" "$work/project" -DCMAKE_UNITY_BUILD=ON
    for split in train test; do
      mkdir "$work/photos/$split"
      for class in a b; do
        python3 "$here/readme/photos.py" "$work/photos/$split/$class"
        for ((i = 0; i < 64; ++i)); do echo "$split/$class/$i.png,$class"; done
      done >"$work/photos/$split.csv"
    done
    mine() { "$work/build/mine" "$@" 2>&1 | tee "$work/output"; }
    pretrain() { # OUT, more options
      mine pretrain simsiam --data "csv:$work/photos" --epochs 2 --encoder.width 4 --simsiam.hidden-dim 8 --out "$work/$1" "${@:2}"
    }
    pretrain run --simsiam.dim 32 --max-steps 3
    grep -q -- '--optimizer.lr' "$work/output" || fail "the plan does not tell the learning rate"
    # A checkpoint of a method that the installed program does not know.
    "$prefix/bin/unlabel" knn --checkpoint "$work/run/checkpoints" --data "$work/photos" --k 3
    pretrain run --simsiam.dim 16 --max-steps 4 && fail "a run went on with another option"
    grep -q 'simsiam.dim was 32 and is 16' "$work/output" || fail "it does not say which option is another"
    pretrain one_view --augment.preset deepcluster && fail "one view was enough"
    grep -q 'SimSiam takes two views' "$work/output" || fail "it does not say what is wrong with the views"
    pretrain run --simsiam.dim 32
    grep -q 'resuming from step 3' "$work/output" || fail "the second run did not go on"
    pretrain straight --simsiam.dim 32
    cmp "$work/run/encoder.safetensors" "$work/straight/encoder.safetensors" || fail "a run that was stopped differs from one that was not"
    for rank in 0 1; do
      RANK=$rank WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$((20000 + $$ % 20000)) pretrain two --simsiam.dim 32 >"$work/rank$rank" &
    done
    wait
    [[ $(wc -l <"$work/two/metrics.jsonl") == 8 ]] || fail "two ranks did not end: $(cat "$work"/rank?)"
    mine pretrain simsiam --data "csv:$work/photos" --explain
    grep -q '^--optimizer.lr  *0.0037' "$work/output" || fail "--explain does not show the rate"
    mine knn --checkpoint "$work/run" --data "csv:$work/photos" --k 3
    grep -q 'kNN' "$work/output" || fail "no kNN accuracy"
    # Its encoder trains, and is recognized without metadata; its protocol measures it.
    pretrain mixed --encoder.arch conv_mixer --max-steps 2
    mine linear --checkpoint "$work/mixed" --data "csv:$work/photos" --protocol class_means
    grep -qE 'linear [0-9.]+ % \(class_means: cosine similarity; 128 train, 128 test, 2 classes' "$work/output" || fail "its protocol does not report"
    mine knn --untrained --encoder.arch conv_mixer --encoder.width 4 --data "csv:$work/photos" --k 3
    grep -q 'untrained conv_mixer' "$work/output" || fail "its encoder is not built by name"
    # Help and errors read the lists.
    shows() { # TEXT, the command
      mine "${@:2}" || true
      grep -q -- "$1" "$work/output" || fail "'${*:2}' does not say '$1'"
    }
    shows 'simsiam.hidden-dim  *hidden layer of the predictor' pretrain --help
    shows 'method .*moco, simclr, simsiam, swav' pretrain --help
    shows 'encoder.arch .*vgg16, conv_mixer' pretrain --help
    shows 'data .*csv:DIR, folder:DIR' pretrain --help
    shows 'class_means  *nearest class mean' linear --help
    shows 'hello  *print a greeting' --help
    shows '^hello$' hello
    shows "no method 'simsia' (did you mean 'simsiam'" pretrain simsia --data "$work/photos"
    shows "'conv_mixr' (did you mean 'conv_mixer'" knn --untrained --encoder.arch conv_mixr --data "csv:$work/photos"
    shows "protocol 'class_mean' (did you mean 'class_means'" linear --protocol class_mean --untrained --data "csv:$work/photos"
    shows 'shards:, csv:, folder:' knn --untrained --data cvs:
    shows "'helo' (did you mean 'hello'" helo
    ;;
  contracts)
    build "$prefix" "$here/contracts"
    mkdir "$work/lines"
    for ((i = 0; i < 160; ++i)); do
      ((i != 77)) || echo # a line without words is replaced
      echo "topic$((i % 5)) word$((i % 20)) more$((i % 5)) line$i end$((i % 10))"
    done >"$work/lines/lines.txt"
    text=$work/build/text agent=$work/build/agent
    export OMP_NUM_THREADS=1
    ranks() { # PORT COMMAND...    two ranks; the exit code of rank 0
      MASTER_ADDR=127.0.0.1 MASTER_PORT=$1 WORLD_SIZE=2 RANK=1 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 "${@:2}" >"$work/rank1" 2>&1 &
      local other=$! code=0
      MASTER_ADDR=127.0.0.1 MASTER_PORT=$1 WORLD_SIZE=2 RANK=0 LOCAL_RANK=0 LOCAL_WORLD_SIZE=2 "${@:2}" >"$work/output" 2>&1 || code=$?
      wait $other || true
      cat "$work/output"
      return $code
    }
    port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
    words=("$text" pretrain words --data "lines:$work/lines" --epochs 150 --batch-size 16 --checkpoint.every 50)

    "${words[@]}" --out "$work/straight" 2>&1 | tee "$work/output"
    grep -q 'replaced' "$work/output" || fail "the line without words is not told"
    # Killed once it has a checkpoint: it goes on and comes to the same encoder.
    "${words[@]}" --out "$work/killed" >"$work/log" 2>&1 &
    until [[ -e $work/killed/checkpoints/latest ]]; do kill -0 $! || fail "it ended before it was killed: $(cat "$work/log")"; done
    kill -9 $!
    wait $! && fail "it was not killed"
    [[ ! -e $work/killed/encoder.safetensors ]] || fail "it had finished before it was killed"
    "${words[@]}" --out "$work/killed" 2>&1 | tee "$work/output"
    grep -q 'resuming from step' "$work/output" || fail "the killed run did not go on"
    cmp "$work/straight/encoder.safetensors" "$work/killed/encoder.safetensors" || fail "the killed run differs"
    # The same on two ranks; a frozen teacher, whose weights are not saved and must stay the same.
    ranks "$(port)" "${words[@]}" --out "$work/two"
    ranks "$(port)" "${words[@]}" --out "$work/two_halves" --max-steps 200
    ranks "$(port)" "${words[@]}" --out "$work/two_halves"
    cmp "$work/two/encoder.safetensors" "$work/two_halves/encoder.safetensors" || fail "two ranks do not resume bit for bit"
    cp "$work/straight/encoder.safetensors" "$work/teacher.safetensors"
    for out in taught taught_whole; do
      [[ $out == taught_whole ]] || "${words[@]}" --out "$work/$out" --words.teacher "$work/teacher.safetensors" --max-steps 120
      "${words[@]}" --out "$work/$out" --words.teacher "$work/teacher.safetensors" --max-steps 240
    done
    cmp "$work/taught/encoder.safetensors" "$work/taught_whole/encoder.safetensors" || fail "a run with a teacher does not resume bit for bit"
    ! cmp -s "$work/taught/encoder.safetensors" "$work/straight/encoder.safetensors" || fail "the teacher teaches nothing"
    ! grep -q teacher "$(find "$work/taught/checkpoints" -name state.safetensors | head -1)" || fail "the teacher is saved"
    cp "$work/killed/../two/encoder.safetensors" "$work/teacher.safetensors"
    code=0
    "${words[@]}" --out "$work/taught" --words.teacher "$work/teacher.safetensors" >"$work/output" 2>&1 || code=$?
    ((code == 93)) || fail "another teacher: exit code $code"
    grep -q 'other frozen weights' "$work/output" || fail "it does not say that the teacher is another: $(cat "$work/output")"
    # Options of images do nothing here, and such an encoder takes none.
    if "${words[@]}" --out "$work/none" --augment.global-size 32 2>"$work/output"; then fail "an option of images passes"; fi
    grep -q 'augment.global-size is of images' "$work/output" || fail "it does not say that the option is of images"
    mkdir -p "$work/photos/train"
    python3 "$here/readme/photos.py" "$work/photos/train/a"
    if "$text" knn --checkpoint "$work/straight" --encoder.arch word_vectors --encoder.width 16 --train "$work/photos/train" --test "$work/photos/train" 2>"$work/output"; then fail "words take images"; fi
    grep -q 'takes no images' "$work/output" || fail "it does not say that the encoder takes no images: $(cat "$work/output")"

    "$agent" "$work/agent" 60
    code=0
    "$agent" "$work/agent_killed" 60 33 || code=$?
    ((code == 137)) || fail "the agent did not kill itself: $code"
    "$agent" "$work/agent_killed" 60 | grep -qE 'resuming from step (25|30)' || fail "the killed agent did not go on"
    cmp "$work/agent/agent.safetensors" "$work/agent_killed/agent.safetensors" || fail "the killed agent differs"
    ranks "$(port)" "$agent" "$work/agent_two" 60
    ranks "$(port)" "$agent" "$work/agent_two_killed" 60 42 && fail "the agents did not kill themselves"
    ranks "$(port)" "$agent" "$work/agent_two_killed" 60
    grep -qE 'resuming from step (35|40)' "$work/output" || fail "the killed agents did not go on"
    cmp "$work/agent_two/agent.safetensors" "$work/agent_two_killed/agent.safetensors" || fail "the killed agents differ"
    ! cmp -s "$work/agent/agent.safetensors" "$work/agent_two/agent.safetensors" || fail "the second rank does nothing"
    ;;
  missing_component)
    for component in vision launch; do
      # An installation of `augment` alone knows `launch` but does not have it; nobody has `vision`.
      rm -rf "$work/prefix" "$work/build"
      cmake --install "$binary" --prefix "$work/prefix" --component augment >"$work/install.log"
      if cmake -G Ninja -S "$here/missing_component" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCOMPONENT=$component \
        >"$work/output" 2>&1; then
        fail "find_package found the component $component"
      fi
      # CMake folds long messages.
      tr -s ' \n' ' ' <"$work/output" | grep -oE "unlabel has no component 'vision' \(there are augment data ssl eval launch\)|the component 'launch' of unlabel is not installed in [^ ]* \(there are augment\)" |
        grep "'$component'" || { cat "$work/output"; fail "no message that names $component"; }
      cmake -G Ninja -S "$here/missing_component" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCOMPONENT=$component \
        -DOPTIONAL=ON >"$work/output" 2>&1 || { cat "$work/output"; fail "an optional component is demanded"; }
    done
    ;;
  *) fail "no such case" ;;
esac
