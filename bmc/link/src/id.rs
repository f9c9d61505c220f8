//! Ids: xids for what the fleet makes, UUIDs for machines.

use std::{
    fmt,
    str::FromStr,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name space of device UUIDs: the `UUIDv5` of `on-prem.net` under DNS.
const DEVICES: Uuid =
    Uuid::from_u128(0x0c4e_5d0b_7a4e_5be4_9a3c_6a1f_2d94_e7b1);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// The UUID of the machine that calls itself `identity` (a board's serial
/// number, a DMI product UUID, or a machine-id): the same after each
/// re-installation.
#[must_use]
pub fn device_uuid(identity: &str) -> Uuid {
    Uuid::new_v5(&DEVICES, identity.trim().to_lowercase().as_bytes())
}

/// A sortable id of 12 bytes, written as 20 characters `0-9a-v`: seconds since
/// 1970, five random bytes of this process, and a counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid([u8; 12]);

impl Xid {
    /// A new id, unlike all others.
    #[must_use]
    pub fn new() -> Self {
        static PROCESS: LazyLock<[u8; 5]> = LazyLock::new(rand::random);
        static COUNTER: LazyLock<AtomicU32> =
            LazyLock::new(|| AtomicU32::new(rand::random()));
        let now = u32::try_from(chrono::Utc::now().timestamp()).unwrap_or(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 12];
        let (time, rest) = id.split_at_mut(4);
        let (process, counter) = rest.split_at_mut(5);
        time.copy_from_slice(&now.to_be_bytes());
        process.copy_from_slice(&*PROCESS);
        counter.copy_from_slice(&count.to_be_bytes()[1..]);
        Self(id)
    }
}

impl Default for Xid {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 96 bits as 20 digits of 5 bits: the last digit carries one bit.
        let bits = self.0.iter().fold(0u128, |n, b| (n << 8) | u128::from(*b));
        let bits = bits << 4;
        let text: String = (0..20)
            .rev()
            .filter_map(|digit| {
                let index = usize::try_from((bits >> (digit * 5)) & 31).ok()?;
                ALPHABET.get(index).map(|c| char::from(*c))
            })
            .collect();
        f.write_str(&text)
    }
}

impl fmt::Debug for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no xid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: 20 characters 0-9 a-v expected")]
pub struct NotAnXid(String);

impl FromStr for Xid {
    type Err = NotAnXid;

    fn from_str(text: &str) -> Result<Self, NotAnXid> {
        let wrong = || NotAnXid(text.chars().take(64).collect());
        if text.len() != 20 {
            return Err(wrong());
        }
        let mut bits = 0u128;
        for c in text.bytes() {
            let digit = ALPHABET.iter().position(|a| *a == c);
            let digit = digit.ok_or_else(wrong)?;
            bits = (bits << 5) | digit as u128;
        }
        if bits & 0xf != 0 {
            return Err(wrong());
        }
        let bytes = (bits >> 4).to_be_bytes();
        let [_, _, _, _, rest @ ..] = bytes;
        Ok(Self(rest))
    }
}

impl Serialize for Xid {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Xid {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Xid {
    fn schema_name() -> String {
        "Xid".into()
    }

    fn json_schema(
        _: &mut schemars::r#gen::SchemaGenerator,
    ) -> schemars::schema::Schema {
        schemars::schema::SchemaObject {
            instance_type: Some(schemars::schema::InstanceType::String.into()),
            string: Some(Box::new(schemars::schema::StringValidation {
                pattern: Some("^[0-9a-v]{20}$".into()),
                ..Default::default()
            })),
            metadata: Some(Box::new(schemars::schema::Metadata {
                description: Some(
                    "An id that the fleet made; sorts by age.".into(),
                ),
                ..Default::default()
            })),
            ..Default::default()
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_sorts_by_age() {
        let (first, second) = (Xid::new(), Xid::new());
        assert_eq!(first.to_string().parse(), Ok(first));
        assert_ne!(first, second);
        let known: Xid = "cfv5v3h32ckl0mq6al70".parse().unwrap();
        assert_eq!(known.to_string(), "cfv5v3h32ckl0mq6al70");
        assert!(known.to_string() < first.to_string());
    }

    #[test]
    fn refuses_what_is_no_xid() {
        for text in ["", "CFV5V3H32CKL0MQ6AL70", "cfv5v3h32ckl0mq6al71", "é"] {
            assert!(text.parse::<Xid>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_machine_keeps_its_uuid() {
        assert_eq!(device_uuid("10000000abcd"), device_uuid("10000000ABCD\n"));
        assert_eq!(device_uuid("x").get_version_num(), 5);
    }
}
