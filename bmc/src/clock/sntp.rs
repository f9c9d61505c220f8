//! SNTP (RFC 4330): one question to a time server, and its answer.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{net::UdpSocket, time::timeout};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The length of a message without extensions.
const LENGTH: usize = 48;
/// No leap warning, version 4, mode 3: a client asks.
const ASK: u8 = 0b00_100_011;
/// From 1900 to 1970, in seconds.
const TO_UNIX: i64 = 2_208_988_800;
/// An era of NTP, in seconds.
const ERA: i64 = 1 << 32;

/// Why there is no time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It cannot be asked.
    #[error("the server cannot be asked")]
    Network(#[from] io::Error),
    /// It does not answer.
    #[error("the server does not answer")]
    Silent,
    /// What it answers is no time.
    #[error("the server answers with no time: {0}")]
    NoTime(&'static str),
    /// It is asked too often.
    #[error("the server is asked too often")]
    TooOften,
    /// It does not want to be asked again (RFC 4330, 8).
    #[error("the server does not want to be asked: {0}")]
    Unwanted(String),
}

/// How far the own clock is behind that of `server`.
pub(super) async fn measure(server: SocketAddr) -> Result<TimeDelta, Failure> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A new port each time, and heard by nobody else.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    // The time of the question stays here; what is sent in its place is a
    // word that only the server knows.
    let word: [u8; 8] = rand::random();
    let mut question = [0; LENGTH];
    question[0] = ASK;
    if let Some(place) = question.get_mut(40..) {
        place.copy_from_slice(&word);
    }
    let asked = Utc::now();
    socket.send(&question).await?;
    let mut answer = [0; 512];
    let length = timeout(PATIENCE, socket.recv(&mut answer)).await;
    let length = length.map_err(|_| Failure::Silent)??;
    let answered = Utc::now();
    let answer = answer.get(..length).unwrap_or_default();
    let (received, sent) = read(answer, word)?;
    let there = received - asked;
    let back = sent - answered;
    Ok((there + back) / 2)
}

/// When the server got the question, and when it answered.
fn read(
    answer: &[u8],
    word: [u8; 8],
) -> Result<(DateTime<Utc>, DateTime<Utc>), Failure> {
    let Some(([first, stratum, ..], rest)) =
        answer.split_first_chunk::<12>().map(|(head, rest)| (*head, rest))
    else {
        return Err(Failure::NoTime("too short"));
    };
    let Some((code, stamps)) = rest.split_first_chunk::<4>() else {
        return Err(Failure::NoTime("too short"));
    };
    let (words, []) = stamps.as_chunks::<8>() else {
        return Err(Failure::NoTime("an odd length"));
    };
    let [_reference, origin, received, sent, ..] = words else {
        return Err(Failure::NoTime("too short"));
    };
    if *origin != word {
        return Err(Failure::NoTime("not to this question"));
    }
    if first & 0b111 != 4 || !matches!((first >> 3) & 0b111, 1..=4) {
        return Err(Failure::NoTime("not of a server"));
    }
    match stratum {
        0 if code == b"RATE" => return Err(Failure::TooOften),
        0 => {
            let code = code.escape_ascii().to_string();
            return Err(Failure::Unwanted(code));
        }
        1..=15 if first >> 6 != 3 => {}
        _ => return Err(Failure::NoTime("not synchronized")),
    }
    let times = time(*received).zip(time(*sent));
    times.ok_or(Failure::NoTime("no time in it"))
}

/// A timestamp of NTP, from 1970 to 2106.
fn time(stamp: [u8; 8]) -> Option<DateTime<Utc>> {
    let stamp = u64::from_be_bytes(stamp);
    if stamp == 0 {
        return None;
    }
    let seconds = i64::try_from(stamp >> 32).ok()?;
    // What would be before 1970 is in the era that begins in 2036.
    let era = if seconds < TO_UNIX { ERA } else { 0 };
    let nanoseconds = ((stamp & 0xffff_ffff) * 1_000_000_000) >> 32;
    let nanoseconds = u32::try_from(nanoseconds).ok()?;
    DateTime::from_timestamp(seconds + era - TO_UNIX, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(of: DateTime<Utc>) -> [u8; 8] {
        let seconds = u64::try_from(of.timestamp() + TO_UNIX).unwrap();
        let part =
            (u64::from(of.timestamp_subsec_nanos()) << 32) / 1_000_000_000;
        ((seconds << 32) | part).to_be_bytes()
    }

    /// What a server says whose clock is an hour ahead.
    fn answer(question: &[u8]) -> Vec<u8> {
        let mut answer = vec![0; LENGTH];
        answer[0] = 0b00_100_100;
        answer[1] = 2;
        answer[24..32].copy_from_slice(&question[40..48]);
        let now = stamp(Utc::now() + TimeDelta::hours(1));
        answer[32..40].copy_from_slice(&now);
        answer[40..48].copy_from_slice(&now);
        answer
    }

    /// What comes of an answer that is bent like this.
    async fn asked(bend: impl Fn(&mut Vec<u8>)) -> Result<TimeDelta, Failure> {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let mut question = [0; 100];
            let (length, from) = server.recv_from(&mut question).await.unwrap();
            assert_eq!((length, question[0]), (LENGTH, 0x23));
            let mut answer = answer(&question);
            bend(&mut answer);
            server.send_to(&answer, from).await.unwrap();
        };
        tokio::join!(measure(address), serve).0
    }

    #[tokio::test]
    async fn says_how_far_the_clock_is_behind() {
        let offset = asked(|_| {}).await.unwrap();
        let wrong = offset - TimeDelta::hours(1);
        assert!(wrong.abs() < TimeDelta::seconds(1), "{wrong}");
    }

    #[tokio::test]
    async fn what_is_no_time_is_not_believed() {
        let bent: [fn(&mut Vec<u8>); 7] = [
            |answer| answer.truncate(47),
            |answer| answer[0] = 0b11_100_100,
            |answer| answer[0] = 0b00_100_011,
            |answer| answer[1] = 16,
            |answer| answer[24] ^= 1,
            |answer| answer[40..48].fill(0),
            |answer| answer.clear(),
        ];
        for bend in bent {
            let failed = asked(bend).await.unwrap_err();
            assert!(matches!(failed, Failure::NoTime(_)), "{failed}");
        }
    }

    #[tokio::test]
    async fn a_kiss_of_death_is_heeded() {
        let kiss = |code: &'static [u8; 4]| {
            asked(|answer| {
                answer[1] = 0;
                answer[12..16].copy_from_slice(code);
            })
        };
        let denied = kiss(b"DENY").await;
        assert!(matches!(denied, Err(Failure::Unwanted(it)) if it == "DENY"));
        assert!(matches!(kiss(b"RATE").await, Err(Failure::TooOften)));
    }

    #[test]
    fn time_goes_on_after_2036() {
        let late = DateTime::from_timestamp(2_100_000_000, 0).unwrap();
        let seconds = (2_100_000_000 + TO_UNIX) % ERA;
        let stamp = (u64::try_from(seconds).unwrap() << 32).to_be_bytes();
        assert_eq!(time(stamp), Some(late));
    }
}
