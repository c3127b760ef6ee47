//! Every malformed file of the repository, and good ones cut and bent, are refused for the right reason.

use crate::support::{bytes, probe_bytes};
use pixelboy_probe::{Budget, Format, Refusal};

pub(crate) const FILES: [&str; 6] = [
    "empty.png",
    "wrong-name.png",
    "bomb.png",
    "truncated.png",
    "truncated.gif",
    "truncated.mp3",
];

fn refusal(bytes: Vec<u8>) -> Refusal {
    probe_bytes(bytes, Budget::default())
        .0
        .expect_err("should be refused")
}

fn is_truncated(refusal: &Refusal, of: Format) -> bool {
    matches!(refusal, Refusal::Truncated { format, .. } if *format == of)
}

fn damage(bytes: Vec<u8>) -> String {
    match refusal(bytes) {
        Refusal::Damaged { reason, .. } => reason,
        other => panic!("should be damaged: {other}"),
    }
}

fn position(bytes: &[u8], of: &[u8]) -> usize {
    bytes.windows(of.len()).position(|part| part == of).unwrap()
}

#[test]
fn an_empty_file_is_refused_as_empty() {
    assert_eq!(refusal(bytes("empty.png")), Refusal::Empty);
}

#[test]
fn text_named_png_is_refused_with_its_first_words() {
    let refusal = refusal(bytes("wrong-name.png"));
    assert_eq!(
        refusal.to_string(),
        "expected a picture (png, jpeg, gif, bmp, webp) or a sound (mp3, wav, flac, ogg), \
         got text that begins with \"This is a line o\"; convert it first"
    );
}

#[test]
fn well_known_formats_are_named() {
    for (start, name) in [
        (&b"%PDF-1.7 and so on"[..], "a pdf document"),
        (b"\0\0\0\x20ftypisom", "an mp4"),
    ] {
        let text = refusal(start.to_vec()).to_string();
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn a_bomb_is_refused_by_its_header_without_reading_its_pixels() {
    let (result, read) = probe_bytes(bytes("bomb.png"), Budget::default());
    let max_pixels = Budget::MAX_PIXELS;
    let expected = Refusal::TooLarge {
        format: Format::Png,
        width: 60_000,
        height: 60_000,
        max_pixels,
    };
    assert_eq!(result, Err(expected));
    assert!(read < 100, "{read} bytes were read");
}

#[test]
fn a_cut_png_says_how_much_came() {
    let Refusal::Truncated {
        format: Format::Png,
        declared: Some(declared),
        came,
        ..
    } = refusal(bytes("truncated.png"))
    else {
        panic!("should be truncated");
    };
    assert_eq!(came, bytes("truncated.png").len() as u64);
    assert!(declared > came && declared <= bytes("logo.png").len() as u64);
}

#[test]
fn a_cut_gif_gives_the_reason_of_the_decoder() {
    let refusal = refusal(bytes("truncated.gif"));
    assert!(is_truncated(&refusal, Format::Gif));
    assert!(
        refusal.to_string().contains("Unexpected End of File"),
        "{refusal}"
    );
}

#[test]
fn an_mp3_cut_within_a_frame_is_refused() {
    assert!(is_truncated(&refusal(bytes("truncated.mp3")), Format::Mp3));
}

#[test]
fn an_mp3_cut_between_frames_is_refused_by_the_count_in_its_header() {
    // The message of the cut file tells where its last frame would have ended; one frame back is a clean cut.
    let Refusal::Truncated {
        declared: Some(end),
        ..
    } = refusal(bytes("truncated.mp3"))
    else {
        panic!("should be truncated");
    };
    let clean = bytes("tone.mp3")[..end as usize].to_vec();
    let refusal = refusal(clean);
    assert!(
        matches!(refusal, Refusal::Truncated { unit: "frames", .. }),
        "{refusal}"
    );
}

#[test]
fn an_mp3_with_a_tag_longer_than_the_file_is_refused() {
    let mut mp3 = bytes("tone.mp3");
    mp3[6..10].copy_from_slice(&[0, 0x7f, 0x7f, 0x7f]);
    assert!(is_truncated(&refusal(mp3), Format::Mp3));
}

#[test]
fn an_mp3_whose_cover_claims_four_gigabytes_is_refused() {
    let mut mp3 = bytes("tone.mp3");
    let cover = position(&mp3, b"APIC");
    mp3[cover + 4..cover + 8].fill(0xff);
    let reason = damage(mp3);
    assert!(reason.contains("APIC of its tag announces"), "{reason}");
}

#[test]
fn an_mp3_with_noise_in_its_middle_is_refused() {
    let mut mp3 = bytes("music.mp3");
    let middle = mp3.len() / 2;
    mp3[middle..middle + 8000].fill(0x55);
    let reason = damage(mp3);
    assert!(reason.contains("there should be an mp3 frame"), "{reason}");
}

#[test]
fn an_mp3_tag_without_sound_is_refused() {
    let mp3 = bytes("tone.mp3");
    let info = position(&mp3, b"Info") - 21;
    let reason = damage(mp3[..info].to_vec());
    assert!(reason.contains("holds no mp3 frames"), "{reason}");
}

#[test]
fn a_cut_wav_says_how_many_bytes_were_declared_and_came() {
    let mut wav = bytes("tone.wav");
    wav.truncate(1044);
    let Refusal::Truncated {
        declared: Some(declared),
        came,
        unit: "bytes",
        ..
    } = refusal(wav.clone())
    else {
        panic!("should be truncated");
    };
    let data = position(&wav, b"data");
    assert_eq!((declared, came), (22_050, 1044 - data as u64 - 8));
}

#[test]
fn a_wav_with_compressed_sound_is_refused_with_a_way_out() {
    let mut wav = bytes("tone.wav");
    wav[20] = 2;
    let text = refusal(wav).to_string();
    assert!(
        text.contains("method 2") && text.contains("convert it to plain 16-bit wav"),
        "{text}"
    );
}

#[test]
fn a_wav_whose_numbers_disagree_is_refused() {
    for (at, value) in [(22, 0), (32, 7), (34, 0)] {
        let mut wav = bytes("tone.wav");
        wav[at] = value;
        assert!(damage(wav).contains("its format does not add up"));
    }
}

#[test]
fn a_cut_flac_is_refused_with_its_samples_and_a_bent_one_as_damaged() {
    let flac = bytes("tone.flac");
    let cut = refusal(flac[..flac.len() / 2].to_vec());
    assert!(
        matches!(
            cut,
            Refusal::Truncated {
                declared: Some(44_100),
                unit: "samples",
                ..
            }
        ),
        "{cut}"
    );
    let mut bent = flac;
    let middle = bent.len() / 2;
    bent[middle] ^= 0x10;
    assert!(damage(bent).contains("samples are announced"));
}

#[test]
fn a_flac_whose_sound_disagrees_with_its_checksum_is_refused() {
    let mut flac = bytes("tone.flac");
    flac[26] ^= 1;
    assert!(damage(flac).contains("checksum"));
}

#[test]
fn an_ogg_is_refused_when_cut_within_a_page_or_between_pages() {
    let ogg = bytes("tone.ogg");
    assert!(is_truncated(
        &refusal(ogg[..ogg.len() - 10].to_vec()),
        Format::Ogg
    ));
    let last = ogg.windows(4).rposition(|part| part == b"OggS").unwrap();
    let refusal = refusal(ogg[..last].to_vec());
    assert!(
        refusal
            .to_string()
            .contains("before the page that is marked as its last"),
        "{refusal}"
    );
}

#[test]
fn an_ogg_with_a_bent_byte_is_refused_by_the_checksum_of_its_page() {
    let mut ogg = bytes("tone.ogg");
    let middle = ogg.len() / 2;
    ogg[middle] ^= 1;
    assert!(damage(ogg).contains("checksum"));
}

#[test]
fn other_sound_in_an_ogg_is_refused_by_name() {
    let page = crate::support::ogg_page(2, 0, 7, 0, b"OpusHead\x01\x02");
    let text = refusal(page).to_string();
    assert!(
        text.contains("holds opus sound") && text.contains("convert it to ogg with vorbis"),
        "{text}"
    );
}

#[test]
fn an_ogg_whose_comment_claims_four_gigabytes_is_refused() {
    let ogg = bytes("tone.ogg");
    let second = ogg[1..]
        .windows(4)
        .position(|part| part == b"OggS")
        .unwrap()
        + 1;
    let mut file = ogg[..second].to_vec();
    let serial = u32::from_le_bytes(ogg[14..18].try_into().unwrap());
    file.extend(crate::support::ogg_page(
        0,
        0,
        serial,
        1,
        b"\x03vorbis\xff\xff\xff\xffx",
    ));
    assert!(damage(file).contains("announces 4294967295 bytes"));
}

#[test]
fn pictures_without_their_ends_are_refused() {
    for (name, format) in [
        ("photo.jpg", Format::Jpeg),
        ("picture.bmp", Format::Bmp),
        ("picture.webp", Format::Webp),
    ] {
        let whole = bytes(name);
        for len in [whole.len() - 1, whole.len() / 2] {
            let refusal = refusal(whole[..len].to_vec());
            assert!(
                is_truncated(&refusal, format),
                "{name} of {len} bytes: {refusal}"
            );
        }
    }
}

#[test]
fn a_webp_whose_inner_picture_is_larger_than_it_says_is_refused_before_decoding() {
    let whole = bytes("picture.webp");
    let inner = position(&whole, b"VP8 ");
    let mut extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x0f\0\0".to_vec();
    extended.extend_from_slice(&whole[inner..]);
    let len = (extended.len() - 8) as u32;
    extended[4..8].copy_from_slice(&len.to_le_bytes());
    assert_eq!(damage(extended), "its parts disagree about its size");
}

#[test]
fn a_gif_frame_with_fewer_pixels_than_announced_is_refused() {
    let mut gif = bytes("interlaced.gif");
    let frame = position(&gif, &[0x2c, 0, 0, 0, 0, 16, 0, 16, 0]);
    gif[frame + 7] = 17;
    gif[8] = 17;
    assert!(
        damage(gif).contains("frame"),
        "the decoder or the count of pixels says so"
    );
}
