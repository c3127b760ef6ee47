//! No panel: every frame is taken and seen by nobody.

use std::time::Instant;

use super::{Backend, Delivery, Panel, Step, no_options};
use crate::frame::Frame;

pub(super) const BACKEND: Backend = Backend {
    name: "none",
    help: "none: pictures are not shown anywhere",
    check: no_options,
    open: |_| Ok(Box::new(NoPanel)),
};

/// The absent panel.
pub(super) struct NoPanel;

impl Panel for NoPanel {
    fn present(&mut self, _frame: &Frame, _step: Step, _now: Instant) -> Delivery {
        Delivery::Done
    }
}
