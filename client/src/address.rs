//! Where a device is: a name or an IP address, and a port.
//! Not here: looking a name up (`dial`).

use std::fmt;
use std::str::FromStr;

/// The port that a host listens on unless its configuration says another.
pub const DEFAULT_PORT: u16 = 7777;

/// Where a device is. Reads `HOST`, `HOST:PORT`, `[IPV6]:PORT` and a bare IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name, an IPv4 or an IPv6 address.
    pub host: String,
    /// From 1.
    pub port: u16,
}

impl Default for Address {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: DEFAULT_PORT,
        }
    }
}

/// The text names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST or HOST:PORT, such as 192.168.1.20 or pixel.local:7777, got {0:?}")]
pub struct NoAddress(pub String);

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let wrong = || NoAddress(text.to_owned());
        let trimmed = text.trim();
        let (host, port) = if let Some(rest) = trimmed.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            match rest {
                "" => (host, None),
                rest => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
            }
        } else if trimmed.matches(':').count() == 1 {
            trimmed
                .split_once(':')
                .map(|(host, port)| (host, Some(port)))
                .ok_or_else(wrong)?
        } else {
            (trimmed, None)
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(wrong)?,
        };
        if host.is_empty() || host.contains(['/', ' ', '@']) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(to, "[{}]:{}", self.host, self.port)
        } else {
            write!(to, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_is_read_with_and_without_a_port() {
        for (text, shown) in [
            ("pixel.local", "pixel.local:7777"),
            (" 10.0.0.5:80 ", "10.0.0.5:80"),
            ("::1", "[::1]:7777"),
            ("[fe80::1%eth0]:7000", "[fe80::1%eth0]:7000"),
            ("[::1]", "[::1]:7777"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_names_no_device_is_refused_with_an_example() {
        for text in [
            "",
            ":7777",
            "pi:0",
            "pi:70000",
            "pi:x",
            "[::1",
            "[::1]x",
            "http://pi/",
            "a b",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("pixel.local:7777"), "{text}");
        }
    }
}
