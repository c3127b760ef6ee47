//! What a display tells those who listen, unasked.

/// Sent to every receiver of [`Display::events`](crate::Display::events).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisplayEvent {
    /// Another owner took the screen from this one.
    ScreenLost {
        /// Who had it.
        owner: u64,
    },
    /// The last loop is over; the last frame stays on the panel.
    AnimationEnded {
        /// Whose animation it was.
        owner: u64,
    },
    /// The panel does not take pictures at the moment. Scenes are accepted and appear when it returns.
    PanelLost {
        /// What happened, for a person.
        reason: String,
    },
    /// The panel takes pictures again and has the current one.
    PanelBack,
}
