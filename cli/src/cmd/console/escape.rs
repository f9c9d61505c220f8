//! What a person types for us and not for the far end: `~` at the begin of a
//! line, and one more key.

/// What a key means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// These go to the far end.
    Bytes(Vec<u8>),
    /// The person leaves.
    Leave,
    /// The person wants to know what there is.
    Help,
}

/// Where in a line the person is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Escape {
    /// At its begin.
    #[default]
    Begin,
    /// After a `~` at its begin.
    Tilde,
    /// In its midst.
    Within,
}

impl Escape {
    pub(super) fn take(&mut self, byte: u8) -> Typed {
        let tilde = *self == Self::Tilde;
        match (&self, byte) {
            (Self::Begin, b'~') => {
                *self = Self::Tilde;
                Typed::Bytes(Vec::new())
            }
            (Self::Tilde, b'.') => Typed::Leave,
            (Self::Tilde, b'?') => {
                *self = Self::Begin;
                Typed::Help
            }
            (Self::Tilde, b'~') => {
                *self = Self::Within;
                Typed::Bytes(vec![b'~'])
            }
            (_, byte) => {
                let ends = matches!(byte, b'\r' | b'\n');
                *self = if ends { Self::Begin } else { Self::Within };
                let held = tilde.then_some(b'~');
                Typed::Bytes(held.into_iter().chain([byte]).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes to the far end, and how it ends.
    fn typed(text: &str) -> (String, Option<Typed>) {
        let mut escape = Escape::default();
        let mut sent = Vec::new();
        for byte in text.bytes() {
            match escape.take(byte) {
                Typed::Bytes(bytes) => sent.extend(bytes),
                end => return (String::from_utf8(sent).unwrap(), Some(end)),
            }
        }
        (String::from_utf8(sent).unwrap(), None)
    }

    #[test]
    fn a_tilde_counts_at_the_begin_of_a_line_only() {
        for (text, sent, end) in [
            ("~.", "", Some(Typed::Leave)),
            ("ls\r~.x", "ls\r", Some(Typed::Leave)),
            ("cd ~.\r", "cd ~.\r", None),
            ("~~.\r", "~.\r", None),
            ("~/bin\r", "~/bin\r", None),
            ("\r~?", "\r", Some(Typed::Help)),
        ] {
            assert_eq!(typed(text), (sent.to_owned(), end), "{text:?}");
        }
    }
}
