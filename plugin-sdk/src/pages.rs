//! Names that the host gives in pages, as one list.
//! A page that fails is the last item.

use crate::Result;

/// How many are asked for at once.
pub(crate) const NAMES_AT_ONCE: u32 = 256;

/// All names after `after`; `page` asks for up to [`NAMES_AT_ONCE`] of them.
pub(crate) fn all(
    after: Option<String>,
    mut page: impl FnMut(Option<&str>) -> Result<Vec<String>>,
) -> impl Iterator<Item = Result<String>> {
    let mut last = after;
    let mut at_hand = Vec::new().into_iter();
    let mut more = true;
    std::iter::from_fn(move || {
        if at_hand.len() == 0 && more {
            match page(last.as_deref()) {
                Ok(names) => {
                    more = names.len() >= NAMES_AT_ONCE as usize;
                    last = names.last().cloned();
                    at_hand = names.into_iter();
                }
                Err(failure) => {
                    more = false;
                    return Some(Err(failure));
                }
            }
        }
        at_hand.next().map(Ok)
    })
}
