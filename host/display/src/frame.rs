//! One finished picture, exactly as the panel gets it: sized, rotated, dimmed.
//! Invariant: `rgb` holds `width * height` pixels of three bytes, row by row from the top left.

/// A picture in the panel's own pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Frame {
    /// `None` when the number of bytes does not belong to the size.
    pub(crate) fn new(width: u32, height: u32, rgb: Vec<u8>) -> Option<Self> {
        let expected = usize::try_from(u64::from(width) * u64::from(height) * 3).ok()?;
        (rgb.len() == expected).then_some(Self { width, height, rgb })
    }

    /// One colour everywhere.
    pub(crate) fn filled(width: u32, height: u32, colour: [u8; 3]) -> Self {
        let pixels = width as usize * height as usize;
        Self {
            width,
            height,
            rgb: colour.repeat(pixels),
        }
    }

    /// Pixels a row.
    pub(crate) fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub(crate) fn height(&self) -> u32 {
        self.height
    }

    /// Three bytes a pixel, row by row.
    pub(crate) fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The rows from the top, three bytes a pixel.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.rgb.chunks_exact(self.width.max(1) as usize * 3)
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.rgb.len() + size_of::<Self>()
    }
}
