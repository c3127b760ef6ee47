//! Every limit of the wire, with its unit and its reason.
//! Invariant: the defaults are those of `SPEC.md` section 3; a host may announce others in `Welcome`.
//! Not here: the limits of plugins, uploads' sizes and quotas, which are the host's settings.

/// Bytes of a frame's body. Holds the largest inline reply with room to spare, and one connection's buffer stays small.
pub const FRAME_BYTES: usize = 131_072;
/// Bytes of a body before `Welcome`: a stranger gets no more memory than this.
pub const FIRST_FRAME_BYTES: usize = 16_384;
/// Bytes of one text or bytes value, and of all of them in a reply together; larger ones travel as transfers.
pub const INLINE_BYTES: usize = 65_536;
/// Raw bytes of one `Data` frame: a waiting request never waits for longer than this takes to send.
pub const CHUNK_BYTES: usize = 65_536;
/// Lists and maps inside each other: bounds recursion on both sides.
pub const NESTING: usize = 16;
/// Values in one frame, those inside lists and maps counted too: bounds the memory that tiny values blow up to.
pub const NODES: usize = 4_096;
/// Requests whose number is not confirmed: bounds the replies that the host keeps.
pub const WINDOW_OPERATIONS: u64 = 1_024;
/// Bytes of the bodies of requests that have not been answered: bounds what waits in the host.
pub const WINDOW_BYTES: u64 = 4_194_304;
/// Bytes that may follow an `Opened` offset before more credit comes: four chunks keep a network busy.
pub const UPLOAD_CREDIT_BYTES: u64 = 262_144;
/// Unfinished uploads of one client: each holds a file open.
pub const UPLOADS: u64 = 64;
/// Milliseconds of idleness after which `TimeOut` comes.
pub const RECEIVE_TIMEOUT_MS: u64 = 5_000;
/// Milliseconds that a session outlives its connection.
pub const SESSION_GRACE_MS: u64 = 10_000;
/// Milliseconds without hearing anything after which a side sends `Ping`, and again after each further such time.
pub const PING_MS: u64 = 15_000;

/// Bytes of replies that are not confirmed: above it the host starts nothing more of the client.
pub const WINDOW_REPLIES_BYTES: u64 = 4_194_304;
/// Milliseconds that a plugin may put an answer off.
pub const LATER_MS: u64 = 86_400_000;

/// Times of [`PING_MS`] without hearing anything after which a side closes with `silent`.
pub const SILENT_PINGS: u32 = 4;
/// Milliseconds within which a complete `Hello` must come.
pub const HELLO_MS: u64 = 5_000;
/// Milliseconds within which an `Auth` must follow its `Challenge`.
pub const AUTH_MS: u64 = 60_000;
/// `Challenge` frames before `Welcome`.
pub const CHALLENGES: u32 = 4;
/// Bytes of the client's name in `Hello`: it is shown in logs.
pub const CLIENT_NAME_BYTES: usize = 64;
/// Bytes of an opcode.
pub const OPCODE_BYTES: usize = 32;
/// Unanswered calls from the host before `CallCredit` allows more.
pub const CALLS: u64 = 16;
/// `blob` ids of one session; the oldest go first.
pub const BLOBS: usize = 256;
/// Bytes of the message of a failure, a `Close` or an `Abort`: a few sentences.
pub const MESSAGE_BYTES: usize = 1_024;
/// Details of one failure.
pub const DETAILS: usize = 16;
/// Bytes of one detail, name and value together.
pub const DETAIL_BYTES: usize = 1_024;
/// Numbers in `Confirm` besides `through`: as many as requests in the window.
pub const CONFIRM_ALSO: usize = 1_024;
/// Bytes of one opcode's map in the table, so that any opcode fits a frame.
pub const OP_ENTRY_BYTES: usize = 65_536;

macro_rules! limits {
    ($( $(#[$doc:meta])* $key:literal $name:literal $field:ident = $default:expr; )*) => {
        /// The limits of a session as `Welcome` announced them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Limits { $( $(#[$doc])* pub $field: u64 ),* }

        impl Default for Limits {
            fn default() -> Self {
                Self { $( $field: $default as u64 ),* }
            }
        }

        impl Limits {
            /// From `Welcome`'s list: an unknown key is ignored, a missing one has the default.
            #[must_use]
            pub fn from_wire(pairs: &[(u8, u64)]) -> Self {
                let mut limits = Self::default();
                for (key, value) in pairs {
                    match key {
                        $( $key => limits.$field = *value, )*
                        _ => {}
                    }
                }
                limits
            }

            /// For `Welcome`, in the order of the keys.
            #[must_use]
            pub fn to_wire(&self) -> Vec<(u8, u64)> {
                vec![ $( ($key, self.$field) ),* ]
            }
        }

        /// Name of each key, as in `SPEC.md`.
        pub const NAMES: &[(u8, &str)] = &[ $( ($key, $name) ),* ];
    };
}

limits! {
    /// [`FRAME_BYTES`].
    1 "frame" frame_bytes = FRAME_BYTES;
    /// [`INLINE_BYTES`].
    2 "inline" inline_bytes = INLINE_BYTES;
    /// [`CHUNK_BYTES`].
    3 "chunk" chunk_bytes = CHUNK_BYTES;
    /// [`NESTING`], levels.
    4 "nesting" nesting = NESTING;
    /// [`NODES`], values.
    5 "nodes" nodes = NODES;
    /// [`WINDOW_OPERATIONS`], requests.
    6 "window-operations" window_operations = WINDOW_OPERATIONS;
    /// [`WINDOW_BYTES`].
    7 "window-bytes" window_bytes = WINDOW_BYTES;
    /// [`UPLOAD_CREDIT_BYTES`].
    8 "upload-credit" upload_credit_bytes = UPLOAD_CREDIT_BYTES;
    /// [`UPLOADS`].
    9 "uploads" uploads = UPLOADS;
    /// [`RECEIVE_TIMEOUT_MS`].
    10 "receive-timeout-ms" receive_timeout_ms = RECEIVE_TIMEOUT_MS;
    /// [`SESSION_GRACE_MS`].
    11 "session-grace-ms" session_grace_ms = SESSION_GRACE_MS;
    /// [`PING_MS`].
    12 "ping-ms" ping_ms = PING_MS;
    /// [`WINDOW_REPLIES_BYTES`].
    13 "window-replies" window_replies_bytes = WINDOW_REPLIES_BYTES;
    /// [`LATER_MS`].
    14 "later-ms" later_ms = LATER_MS;
}

#[cfg(test)]
mod tests {
    use super::{Limits, NAMES};

    #[test]
    fn the_table_is_the_specification_s() {
        let spec = include_str!("../SPEC.md");
        let (_, section) = spec.split_once("| limit | key |").unwrap();
        let (section, _) = section.split_once("\n\n").unwrap();
        let rows: Vec<(u8, &str, u64)> = section
            .lines()
            .filter_map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                Some((
                    cells.get(2)?.parse().ok()?,
                    *cells.get(1)?,
                    cells.get(3)?.replace(',', "").parse().ok()?,
                ))
            })
            .collect();
        let ours: Vec<(u8, &str, u64)> = NAMES
            .iter()
            .zip(Limits::default().to_wire())
            .map(|((key, name), (wire_key, value))| {
                assert_eq!(*key, wire_key);
                (*key, *name, value)
            })
            .collect();
        assert_eq!(ours, rows);
    }

    #[test]
    fn an_unknown_key_is_ignored_and_a_missing_one_has_the_default() {
        let read = Limits::from_wire(&[(2, 100_000), (250, 1)]);
        assert_eq!(
            read,
            Limits {
                inline_bytes: 100_000,
                ..Limits::default()
            }
        );
        assert_eq!(Limits::from_wire(&read.to_wire()), read);
    }
}
