//! Postcard by hand, as far as the frames use it, with the limits of values built in.
//! Invariant: a list's count is checked against the bytes and values left before its memory is taken.
//! Not here: which fields a frame has (`body!` in each frame's file lists them).
//! Every failure is a [`WireError`]; nothing panics and nothing recurses deeper than `limits::NESTING`.

use crate::error::{EncodeError, WireError};
use crate::limits;

/// What is left of a body, and what its values may still use.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    pub(crate) nodes_left: usize,
    pub(crate) depth_left: usize,
    pub(crate) inline_bytes_each: usize,
    pub(crate) inline_bytes_left: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self {
            rest: body,
            nodes_left: limits::NODES,
            depth_left: limits::NESTING,
            inline_bytes_each: limits::INLINE_BYTES,
            inline_bytes_left: usize::MAX,
        }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        let (&first, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(bytes)
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A base-128 number of at most `bits`, in as few bytes as it needs.
    #[inline]
    pub(crate) fn varint(&mut self, bits: u32) -> Result<u64, WireError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            let room = bits.saturating_sub(shift);
            if room < 7 && (part >> room != 0 || byte >= 0x80) {
                return Err(WireError::BadVarint);
            }
            value |= part << shift;
            if byte < 0x80 {
                return if byte == 0 {
                    Err(WireError::BadVarint)
                } else {
                    Ok(value)
                };
            }
            shift += 7;
        }
    }

    /// The count of a list or the length of text or bytes, of which every element takes at least `least` bytes.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, WireError> {
        let count = usize::try_from(self.varint(64)?).map_err(|_| WireError::Truncated)?;
        if count.saturating_mul(least) > self.rest.len() {
            Err(WireError::Truncated)
        } else {
            Ok(count)
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.count(1)?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::BadText)
    }

    pub(crate) fn admit_nodes(&mut self, count: usize) -> Result<(), WireError> {
        self.nodes_left = self
            .nodes_left
            .checked_sub(count)
            .ok_or(WireError::TooManyValues)?;
        Ok(())
    }

    pub(crate) fn admit_inline(&mut self, bytes: usize) -> Result<(), WireError> {
        if bytes > self.inline_bytes_each {
            return Err(WireError::ValueTooLarge);
        }
        self.inline_bytes_left = self
            .inline_bytes_left
            .checked_sub(bytes)
            .ok_or(WireError::ValueTooLarge)?;
        Ok(())
    }
}

/// Appends fields, and keeps the limits that the other side will check.
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    end: usize,
    kind: &'static str,
    limit_bytes: usize,
    pub(crate) nodes_left: usize,
    pub(crate) depth_left: usize,
    pub(crate) inline_bytes_each: usize,
    pub(crate) inline_bytes_left: usize,
}

impl<'o> Writer<'o> {
    /// Appends at most `limit_bytes` to `out`; `kind` is for the error.
    pub(crate) fn new(out: &'o mut Vec<u8>, kind: &'static str, limit_bytes: usize) -> Self {
        let end = out.len().saturating_add(limit_bytes);
        Self {
            out,
            end,
            kind,
            limit_bytes,
            nodes_left: limits::NODES,
            depth_left: limits::NESTING,
            inline_bytes_each: limits::INLINE_BYTES,
            inline_bytes_left: usize::MAX,
        }
    }

    fn too_large(&self) -> EncodeError {
        EncodeError::FrameTooLarge {
            kind: self.kind,
            limit_bytes: self.limit_bytes,
        }
    }

    /// Whether what was written fits.
    pub(crate) fn finish(self) -> Result<(), EncodeError> {
        if self.out.len() > self.end {
            Err(self.too_large())
        } else {
            Ok(())
        }
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > self.end.saturating_sub(self.out.len()) {
            return Err(self.too_large());
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.varint(bytes.len() as u64);
        self.raw(bytes)
    }

    pub(crate) fn admit_nodes(&mut self, count: usize) -> Result<(), EncodeError> {
        self.nodes_left = self
            .nodes_left
            .checked_sub(count)
            .ok_or(EncodeError::TooManyValues)?;
        Ok(())
    }

    pub(crate) fn admit_inline(&mut self, bytes: usize) -> Result<(), EncodeError> {
        if bytes > self.inline_bytes_each {
            return Err(EncodeError::ValueTooLarge);
        }
        self.inline_bytes_left = self
            .inline_bytes_left
            .checked_sub(bytes)
            .ok_or(EncodeError::ValueTooLarge)?;
        Ok(())
    }
}

/// Something that a body is made of.
pub(crate) trait Field<'a>: Sized {
    /// No encoding of it is shorter, in bytes.
    const LEAST_BYTES: usize;

    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError>;
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError>;

    /// Called with a list's count before any of it is read or written: values are paid for here.
    fn admit(_from: &mut Reader<'a>, _count: usize) -> Result<(), WireError> {
        Ok(())
    }
    fn admit_put(_to: &mut Writer<'_>, _count: usize) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl<'a> Field<'a> for bool {
    const LEAST_BYTES: usize = 1;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        to.byte(u8::from(*self));
        Ok(())
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(WireError::BadBool(other)),
        }
    }
}

impl<'a> Field<'a> for u8 {
    const LEAST_BYTES: usize = 1;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        to.byte(*self);
        Ok(())
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        from.byte()
    }
}

macro_rules! varint_fields {
    ($($number:ty),*) => {$(
        impl<'a> Field<'a> for $number {
            const LEAST_BYTES: usize = 1;
            fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
                to.varint(u64::from(*self));
                Ok(())
            }
            fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
                <$number>::try_from(from.varint(<$number>::BITS)?).map_err(|_| WireError::BadVarint)
            }
        }
    )*};
}
varint_fields!(u16, u32, u64);

impl<'a> Field<'a> for i64 {
    const LEAST_BYTES: usize = 1;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        to.varint(((self << 1) ^ (self >> 63)).cast_unsigned());
        Ok(())
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let zigzag = from.varint(64)?;
        Ok((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
    }
}

impl<'a> Field<'a> for f64 {
    const LEAST_BYTES: usize = 8;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        to.raw(&self.to_bits().to_le_bytes())
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(f64::from_bits(u64::from_le_bytes(from.array()?)))
    }
}

impl<'a, const N: usize> Field<'a> for [u8; N] {
    const LEAST_BYTES: usize = N;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        to.raw(self)
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        from.array()
    }
}

impl<'a> Field<'a> for String {
    const LEAST_BYTES: usize = 1;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        to.bytes(self.as_bytes())
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        from.text().map(str::to_owned)
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    const LEAST_BYTES: usize = 1;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            None => to.byte(0),
            Some(value) => {
                to.byte(1);
                value.put(to)?;
            }
        }
        Ok(())
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        match from.byte()? {
            0 => Ok(None),
            1 => T::get(from).map(Some),
            other => Err(WireError::BadOption(other)),
        }
    }
}

impl<'a, A: Field<'a>, B: Field<'a>> Field<'a> for (A, B) {
    const LEAST_BYTES: usize = A::LEAST_BYTES + B::LEAST_BYTES;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.0.put(to)?;
        self.1.put(to)
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok((A::get(from)?, B::get(from)?))
    }
    fn admit(from: &mut Reader<'a>, count: usize) -> Result<(), WireError> {
        A::admit(from, count)?;
        B::admit(from, count)
    }
    fn admit_put(to: &mut Writer<'_>, count: usize) -> Result<(), EncodeError> {
        A::admit_put(to, count)?;
        B::admit_put(to, count)
    }
}

/// A list, also the bytes of `Challenge` and `Auth`: postcard writes a list of `u8` as bytes.
impl<'a, T: Field<'a>> Field<'a> for Vec<T> {
    const LEAST_BYTES: usize = 1;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        put_list(self, to)
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let count = from.count(T::LEAST_BYTES)?;
        T::admit(from, count)?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(T::get(from)?);
        }
        Ok(list)
    }
}

pub(crate) fn put_list<'a, T: Field<'a>>(
    list: &[T],
    to: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    T::admit_put(to, list.len())?;
    to.varint(list.len() as u64);
    for element in list {
        element.put(to)?;
    }
    Ok(())
}

/// Defines a body whose encoding is its fields in order, as they are listed.
macro_rules! body {
    ($(
        $(#[$about:meta])*
        $name:ident { $( $(#[$doc:meta])* $field:ident: $type:ty ),* $(,)? }
    )*) => {$(
        $(#[$about])*
        pub struct $name { $( $(#[$doc])* pub $field: $type ),* }

        impl<'a> $crate::codec::Field<'a> for $name {
            const LEAST_BYTES: usize = 0 $(+ <$type as $crate::codec::Field<'a>>::LEAST_BYTES)*;
            fn put(&self, _to: &mut $crate::codec::Writer<'_>) -> Result<(), $crate::error::EncodeError> {
                $( $crate::codec::Field::put(&self.$field, _to)?; )*
                Ok(())
            }
            fn get(_from: &mut $crate::codec::Reader<'a>) -> Result<Self, $crate::error::WireError> {
                Ok(Self { $( $field: $crate::codec::Field::get(_from)? ),* })
            }
        }
    )*};
}
pub(crate) use body;
