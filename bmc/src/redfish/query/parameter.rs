//! The parameters of a query, as they stand in the URI.

/// The parameters with their values, decoded, and how they are written.
pub(super) fn parameters(
    text: &str,
) -> impl Iterator<Item = (&str, String, Option<String>)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        match pair.split_once('=') {
            Some((name, value)) => (pair, decode(name), Some(decode(value))),
            None => (pair, decode(pair), None),
        }
    })
}

/// Undoes percent encoding; what is no UTF-8 stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                digit(high).zip(digit(low)).and_then(|(high, low)| {
                    rest = after;
                    u8::try_from(high * 16 + low).ok()
                })
            }
            (b'+', _) => Some(b' '),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
