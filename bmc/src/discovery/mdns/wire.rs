//! What comes in, before it is believed.

use simple_dns::{Packet, QTYPE, TYPE};

/// A header's length, and the shortest question and record.
const HEADER: usize = 12;
const QUESTION: usize = 5;
const RECORD: usize = 11;
/// The first two bits of a length that is a place instead (RFC 1035, 4.1.4).
const PLACE: u8 = 0xc0;

/// The message in `datagram`, if there is one.
pub(super) fn packet(datagram: &mut [u8]) -> Option<Packet<'_>> {
    if !is_plausible(datagram) {
        return None;
    }
    // It may be cut off: that is for the parser to say.
    let _ = tame(datagram);
    Packet::parse(datagram).ok()
}

/// Makes a question for a type that the parser does not know one for a type
/// that nobody has, so that the others in the message are heard.
fn tame(datagram: &mut [u8]) -> Option<()> {
    let mut at = HEADER;
    for _ in 0..count(datagram.get(4..6)?) {
        loop {
            let length = *datagram.get(at)?;
            at += match length {
                0 => 1,
                it if it & PLACE == PLACE => 2,
                it => 1 + usize::from(it),
            };
            if length == 0 || length & PLACE == PLACE {
                break;
            }
        }
        let kind = datagram.get_mut(at..at + 2)?;
        if QTYPE::try_from(count(kind)).is_err() {
            kind.copy_from_slice(&u16::from(TYPE::NULL).to_be_bytes());
        }
        at += 4;
    }
    Some(())
}

fn count(bytes: &[u8]) -> u16 {
    bytes.try_into().map_or(0, u16::from_be_bytes)
}

/// Whether `datagram` can hold as much as it says it does.
fn is_plausible(datagram: &[u8]) -> bool {
    let Some((header, rest)) = datagram.split_at_checked(HEADER) else {
        return false;
    };
    let [_, _, _, _, counts @ ..] = header else { return false };
    let counts = counts.chunks_exact(2).map(|it| usize::from(count(it)));
    let least = [QUESTION, RECORD, RECORD, RECORD];
    let least: usize =
        counts.zip(least).map(|(count, each)| count * each).sum();
    least <= rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_nobody_knows_does_not_hide_the_others() {
        let mut message = vec![0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        // Of a type that is for private use, and after it an A at the same
        // name.
        message.extend(b"\x04host\x05local\0\xff\0\0\x01");
        message.extend(b"\xc0\x0c\0\x01\0\x01");
        let end = message.len();
        for length in 0..end {
            assert!(packet(&mut message.clone()[..length]).is_none());
        }
        let asked = packet(&mut message).unwrap().questions;
        let kinds: Vec<_> = asked.iter().map(|it| it.qtype).collect();
        assert_eq!(kinds, [TYPE::NULL.into(), TYPE::A.into()]);
        assert!(asked.iter().all(|it| it.qname.to_string() == "host.local"));
    }
}
