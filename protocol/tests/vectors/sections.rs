//! Reads the files of `vectors/`, whose format is told in `vectors/README.md`.

use std::collections::BTreeMap;

pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) bytes: Vec<u8>,
}

impl Section {
    pub(crate) fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    pub(crate) fn json(&self, key: &str) -> serde_json::Value {
        let text = self
            .property(key)
            .unwrap_or_else(|| panic!("{}: no {key}", self.title));
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", self.title))
    }
}

pub(crate) fn sections(file: &str) -> Vec<Section> {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push(Section {
                title: title.to_owned(),
                properties: BTreeMap::new(),
                bytes: Vec::new(),
            });
        } else if line.is_empty() || line.starts_with("# ") {
            continue;
        } else {
            let section = sections
                .last_mut()
                .expect("a section begins with its title");
            match line.split_once(": ") {
                Some((key, text))
                    if key
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'-') =>
                {
                    section.properties.insert(key.to_owned(), text.to_owned());
                }
                _ => section
                    .bytes
                    .extend(unhex(line.split('#').next().unwrap_or_default())),
            }
        }
    }
    assert!(!sections.is_empty(), "{path} has no sections");
    sections
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for token in text.split_whitespace() {
        let (hex, times) = token.split_once('*').unwrap_or((token, "1"));
        bytes.extend(
            hex::decode(hex)
                .expect(text)
                .repeat(times.parse().expect(text)),
        );
    }
    bytes
}
