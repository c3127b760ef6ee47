//! Every limit of the wire, with its unit and its reason.
//! Invariant: the defaults are those of `SPEC.md` section 3; a host may announce others in `Welcome`.
//! Not here: the limits of plugins, uploads' sizes and quotas, which are the host's settings.

/// Bytes of a frame's body. Holds the largest inline reply with room to spare, and one connection's buffer stays small.
pub const FRAME_BYTES: usize = 131_072;
/// Bytes of a body before `Welcome`: a stranger gets no more memory than this.
pub const FIRST_FRAME_BYTES: usize = 1_024;
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
/// Milliseconds without hearing anything after which a side sends `Ping`.
pub const PING_MS: u64 = 15_000;

/// Unanswered pings after which a side closes with `silent`.
pub const UNANSWERED_PINGS: u32 = 3;
/// Milliseconds within which a complete `Hello` must come.
pub const HELLO_MS: u64 = 5_000;
/// `Challenge` frames before `Welcome`.
pub const CHALLENGES: u32 = 4;
/// Bytes of the client's name in `Hello`: it is shown in logs.
pub const CLIENT_NAME_BYTES: usize = 64;
/// Bytes of an opcode.
pub const OPCODE_BYTES: usize = 32;
/// Unanswered calls from the host before `CallCredit` allows more.
pub const CALLS: u64 = 16;
/// `blob` ids of one session; the oldest go first.
pub const BLOBS: usize = 1_024;
/// Bytes of the message in a [`Close::new`](crate::Close::new) or [`Abort::new`](crate::Abort::new): fits before `Welcome` too.
pub const MESSAGE_BYTES: usize = 768;

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
}
