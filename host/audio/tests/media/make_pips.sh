#!/bin/sh
# Makes the pips: 10 s, at every whole second 50 ms of 1 kHz, the rest silent. Needs ffmpeg and lame.
# They tell where in a piece one is: by when the next pip comes, and by how many are left.
set -e
cd "$(dirname "$0")"
wav=$(mktemp --suffix=.wav)
ffmpeg -v error -y -f lavfi -i "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.05)':s=44100:d=10" -c:a pcm_s16le "$wav"
lame --quiet -V 9 "$wav" pips-vbr.mp3
lame --quiet -b 16 --resample 22.05 -t "$wav" pips-cbr-untagged.mp3
ffmpeg -v error -y -i "$wav" -map_metadata -1 -fflags +bitexact -c:a flac pips.flac
ffmpeg -v error -y -i "$wav" -map_metadata -1 -fflags +bitexact -c:a libvorbis -q:a 0 pips.ogg
# 2 s at a high bit rate, then all pips at a low one, without a word on the length: guessing it from the first packets
# gives too little.
ffmpeg -v error -y -f lavfi -i "sine=frequency=440:sample_rate=22050:duration=2" "$wav.tone.wav"
lame --quiet -b 64 -t "$wav.tone.wav" "$wav.tone.mp3"
lame --quiet -b 8 --resample 22.05 -t "$wav" "$wav.pips.mp3"
cat "$wav.tone.mp3" "$wav.pips.mp3" >pips-changing-rate.mp3
rm "$wav" "$wav".*
