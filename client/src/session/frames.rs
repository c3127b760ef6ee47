//! Frames of the session on their way to the connection.
//! Invariant: they leave in order; what a state file must know of waits until it is on the disk.
//! Not here: the file (`identity`).

/// Frames on their way.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    new: Vec<u8>,
    /// Until what is being written now is on the disk.
    waiting: Vec<u8>,
    is_writing: bool,
    /// The highest number of a request among what is being written.
    writing_through: u64,
    ready: Vec<u8>,
}

impl Frames {
    /// Where a frame is appended.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.new
    }

    /// Something is written now, and what is here waits for it; requests up to `through` are part of it.
    pub(crate) fn wait(&mut self, through: u64) {
        self.waiting.append(&mut self.new);
        self.is_writing = true;
        self.writing_through = through;
    }

    /// It is on the disk. Up to which number.
    pub(crate) fn written(&mut self) -> u64 {
        self.is_writing = false;
        self.ready.append(&mut self.waiting);
        self.writing_through
    }

    /// What may be sent now; `has_notes` says that something is to be written first.
    pub(crate) fn ready(&mut self, has_notes: bool) -> &mut Vec<u8> {
        if !self.is_writing && !has_notes {
            self.ready.append(&mut self.new);
        }
        &mut self.ready
    }

    /// The connection broke: everything is made anew for the next.
    pub(crate) fn lost(&mut self) {
        self.new.clear();
        self.waiting.clear();
        self.ready.clear();
    }

    /// The client has a new id: what is being written says nothing of its numbers.
    pub(crate) fn renewed(&mut self) {
        self.lost();
        self.writing_through = 0;
    }
}
