//! What a file here is, to pick the opcode that stores it: by its first bytes, whatever its name says.
//! Not here: whether it decodes; the device looks into it before it keeps it.

use crate::trouble::Trouble;

/// What the device has an opcode for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `si`
    Picture,
    /// `sg`
    Animation,
    /// `sm`
    Sound,
    /// `ss`
    Text,
}

/// By the first bytes of a file; `name` is what it will be called, which must not promise media where there is text.
pub(crate) fn kind(head: &[u8], name: &str) -> Result<Kind, Trouble> {
    let starts = |magic: &[u8]| head.starts_with(magic);
    let riff = |form: &[u8]| starts(b"RIFF") && head.get(8..12) == Some(form);
    if starts(b"GIF87a") || starts(b"GIF89a") {
        return Ok(Kind::Animation);
    }
    // Two letters are few: a bitmap has four zeros in its header, too.
    let bitmap = starts(b"BM") && head.get(6..10) == Some(&[0; 4]);
    if starts(b"\x89PNG\r\n\x1a\n") || starts(b"\xff\xd8\xff") || bitmap || riff(b"WEBP") {
        return Ok(Kind::Picture);
    }
    let mpeg = matches!(head, [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0);
    if starts(b"ID3") || mpeg || riff(b"WAVE") || starts(b"fLaC") || starts(b"OggS") {
        return Ok(Kind::Sound);
    }
    if is_text(head) {
        return match promised(name) {
            None => Ok(Kind::Text),
            Some(ending) => Err(Trouble::Usage(format!(
                "{name} ends in .{ending}, but {}; check it, or store it as text under another name: pixelboy store FILE NAME.txt",
                if head.is_empty() {
                    "is empty"
                } else {
                    "its bytes are text"
                }
            ))),
        };
    }
    Err(Trouble::Usage(format!(
        "{name} is neither text nor PNG, JPEG, BMP, WebP, GIF, MP3, WAV, FLAC or OGG; the device keeps nothing else"
    )))
}

/// The ending of a name that is not of text.
fn promised(name: &str) -> Option<&str> {
    const ENDINGS: [&str; 10] = [
        "png", "jpg", "jpeg", "bmp", "gif", "webp", "mp3", "wav", "flac", "ogg",
    ];
    let (_, ending) = name.rsplit_once('.')?;
    ENDINGS
        .contains(&ending.to_lowercase().as_str())
        .then_some(ending)
}

/// UTF-8, perhaps cut off inside its last character, without zeros.
fn is_text(head: &[u8]) -> bool {
    let cut = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    cut && !head.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::{Kind, kind};

    #[test]
    fn a_file_is_known_by_its_bytes() {
        let cases: [(&[u8], Kind); 13] = [
            (b"\x89PNG\r\n\x1a\n....", Kind::Picture),
            (b"\xff\xd8\xff\xe0", Kind::Picture),
            (b"BM\x46\0\0\0\0\0\0\0", Kind::Picture),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Kind::Picture),
            (b"GIF89a", Kind::Animation),
            (b"ID3\x04", Kind::Sound),
            (b"\xff\xfb\x90", Kind::Sound),
            (b"RIFF\x24\0\0\0WAVEfmt ", Kind::Sound),
            (b"fLaC", Kind::Sound),
            (b"OggS", Kind::Sound),
            (b"BMW is a car\n", Kind::Text),
            (b"", Kind::Text),
            ("grü".as_bytes().split_at(4).0, Kind::Text),
        ];
        for (head, expected) in cases {
            assert_eq!(kind(head, "it").unwrap(), expected, "{head:?}");
        }
    }

    #[test]
    fn text_under_the_name_of_a_picture_is_a_slip() {
        let message = kind(b"hello", "cat.PNG").unwrap_err().message();
        assert!(
            message.contains("cat.PNG ends in .PNG, but its bytes are text"),
            "{message}"
        );
        assert!(
            kind(b"", "a.gif")
                .unwrap_err()
                .message()
                .contains("is empty")
        );
    }

    #[test]
    fn other_bytes_are_refused_with_what_is_taken() {
        for head in [&b"\x7fELF\x02\0"[..], b"PK\x03\x04\xff", b"text\0"] {
            let message = kind(head, "it.bin").unwrap_err().message();
            assert!(
                message.contains("it.bin is neither text nor PNG"),
                "{message}"
            );
        }
    }
}
