#!/bin/sh
# Makes every file of this folder again. Needs python3 with Pillow, lame and ffmpeg. Sound files may differ in a few
# bytes between versions of the encoders; the tests do not depend on their exact bytes.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
python=${PYTHON:-python3}
PYTHONDONTWRITEBYTECODE=1 "$python" make_media.py "$work/melody.wav"

sine() { # seconds, rate, more ffmpeg arguments
    seconds=$1 rate=$2
    shift 2
    ffmpeg -v error -y -f lavfi -i "sine=frequency=440:sample_rate=$rate:duration=$seconds" -map_metadata -1 -fflags +bitexact "$@"
}
sine 3 44100 "$work/tone.wav"
lame --quiet -m m -b 56 --resample 44.1 --add-id3v2 --tt "Tone" --ta "pixelboy" --ti cover.jpg "$work/tone.wav" tone.mp3
rm cover.jpg
sine 1 11025 -ac 1 -c:a pcm_s16le tone.wav
sine 2 22050 -ac 1 -c:a flac -compression_level 12 tone.flac
sine 3 44100 -ac 2 -c:a libvorbis -q:a 0 tone.ogg
lame --quiet -m m -b 64 --add-id3v2 --tt "Hello" --ta "pixelboy" "$work/melody.wav" music.mp3
# Two thirds of the tone, cut within a frame; the header goes on promising all frames.
head -c $(($(wc -c <tone.mp3) * 2 / 3)) tone.mp3 >truncated.mp3
