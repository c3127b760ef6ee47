//! The set-up header of Vorbis, as far as it decides how much memory a decoder takes.
//! Invariant: a header that passes has code books of a bounded size; the format allows terabytes in a hundred bytes,
//! and a decoder allocates them unseen.
//! Not here: whether the rest is sound; the decoder finds out.

/// Entries of all code books; encoders write about 20,000.
const MAX_ENTRIES: u64 = 1 << 16;
/// Numbers in all look-up tables; encoders write about 100,000.
const MAX_VALUES: u64 = 1 << 20;
/// The decoder's tables hold 2 KiB for as few as 9 entries that are chosen to spread.
const ENTRY_BYTES: u64 = 256;
const VALUE_BYTES: u64 = 4;
const HEADER: &[u8] = b"\x05vorbis";

/// The memory in bytes that a decoder takes for its code books, at most.
pub(super) fn check_setup(packet: &[u8]) -> Result<u64, String> {
    let body = packet
        .strip_prefix(HEADER)
        .ok_or("its third packet is not a vorbis set-up header")?;
    let mut bits = Bits { bytes: body, at: 0 };
    let (mut entries, mut values) = (0, 0);
    let within =
        check_books(&mut bits, &mut entries, &mut values).ok_or("its code books are cut off")?;
    if !within {
        return Err(format!(
            "its code books have {entries} entries and {values} values, far too many"
        ));
    }
    Ok(entries * ENTRY_BYTES + values * VALUE_BYTES)
}

/// False as soon as a limit is exceeded; none when the header ends early.
fn check_books(bits: &mut Bits<'_>, all_entries: &mut u64, all_values: &mut u64) -> Option<bool> {
    let books = bits.read(8)? + 1;
    for _ in 0..books {
        bits.skip(24)?;
        let dimensions = bits.read(16)?;
        let entries = bits.read(24)?;
        *all_entries += entries;
        *all_values += entries * dimensions;
        if *all_entries > MAX_ENTRIES || *all_values > MAX_VALUES {
            return Some(false);
        }
        skip_lengths(bits, entries)?;
        let lookup = bits.read(4)?;
        if lookup == 1 || lookup == 2 {
            bits.skip(64)?;
            let value_bits = bits.read(4)? + 1;
            bits.skip(1)?;
            let count = if lookup == 1 {
                root(entries, dimensions)
            } else {
                entries * dimensions
            };
            bits.skip(count * value_bits)?;
        }
    }
    Some(true)
}

fn skip_lengths(bits: &mut Bits<'_>, entries: u64) -> Option<()> {
    let is_ordered = bits.read(1)? == 1;
    if is_ordered {
        bits.skip(5)?;
        let mut done = 0;
        while done < entries {
            let width = 64 - (entries - done).leading_zeros();
            done += bits.read(width)?;
        }
        return Some(());
    }
    let is_sparse = bits.read(1)? == 1;
    if !is_sparse {
        return bits.skip(5 * entries);
    }
    for _ in 0..entries {
        if bits.read(1)? == 1 {
            bits.skip(5)?;
        }
    }
    Some(())
}

/// The greatest number whose `dimensions`th power is at most `entries`.
fn root(entries: u64, dimensions: u64) -> u64 {
    if dimensions == 0 || entries == 0 {
        return 0;
    }
    let power = u32::try_from(dimensions).unwrap_or(u32::MAX);
    let fits = |base: u64| {
        base.checked_pow(power)
            .is_some_and(|value| value <= entries)
    };
    (1..=entries)
        .take_while(|base| fits(*base))
        .last()
        .unwrap_or(0)
}

/// Reads bits, lowest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl Bits<'_> {
    fn read(&mut self, count: u32) -> Option<u64> {
        let mut value = 0;
        for bit in 0..count {
            let byte = self.bytes.get(usize::try_from(self.at / 8).ok()?)?;
            value |= u64::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() as u64 * 8).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_a_few_bytes_that_asks_for_terabytes_is_refused() {
        // One book: sync, 65,535 dimensions, 16,777,215 entries.
        let mut header = HEADER.to_vec();
        header.extend_from_slice(&[0, 0x42, 0x43, 0x56, 0xff, 0xff, 0xff, 0xff, 0xff]);
        header.extend_from_slice(&[0; 40]);
        let reason = check_setup(&header).unwrap_err();
        assert!(reason.contains("far too many"), "{reason}");
    }

    #[test]
    fn a_header_that_ends_early_is_refused() {
        let mut header = HEADER.to_vec();
        header.extend_from_slice(&[0, 0x42, 0x43, 0x56, 1, 0, 200, 0, 0, 0]);
        assert_eq!(
            check_setup(&header),
            Err("its code books are cut off".to_owned())
        );
        assert!(check_setup(b"").is_err());
    }

    #[test]
    fn roots_are_exact() {
        assert_eq!(root(81, 4), 3);
        assert_eq!(root(80, 4), 2);
        assert_eq!(root(6561, 8), 3);
        assert_eq!(root(5, 0), 0);
        assert_eq!(root(1 << 16, 65_535), 1);
    }
}
