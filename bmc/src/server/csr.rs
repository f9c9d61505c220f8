//! Certificate signing requests: what a certificate shall say, for whom.

use std::net::IpAddr;

use rcgen::{
    Attribute, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

/// `pkcs-9-at-emailAddress`, RFC 2985.
const EMAIL: &[u64] = &[1, 2, 840, 113_549, 1, 9, 1];
/// `pkcs-9-at-unstructuredName`, RFC 2985.
const UNSTRUCTURED: &[u64] = &[1, 2, 840, 113_549, 1, 9, 2];
/// `pkcs-9-at-challengePassword`, RFC 2985.
const CHALLENGE: &[u64] = &[1, 2, 840, 113_549, 1, 9, 7];

/// The kinds of keys that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Algorithm {
    /// ECDSA on NIST P-256: known everywhere.
    #[default]
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// Ed25519: few browsers take it.
    Ed25519,
}

impl Algorithm {
    /// A new key.
    pub(super) fn generate(self) -> Result<KeyPair, rcgen::Error> {
        KeyPair::generate_for(match self {
            Self::P256 => &PKCS_ECDSA_P256_SHA256,
            Self::P384 => &PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &PKCS_ED25519,
        })
    }
}

/// A part of a name, as X.520 and RFC 2985 call it, with the most characters
/// that it can have (RFC 5280, appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    CommonName,
    Organization,
    OrganizationalUnit,
    City,
    State,
    Country,
    Email,
    Surname,
    GivenName,
    Initials,
    Name,
}

impl Part {
    const ALL: [Self; 11] = [
        Self::CommonName,
        Self::Organization,
        Self::OrganizationalUnit,
        Self::City,
        Self::State,
        Self::Country,
        Self::Email,
        Self::Surname,
        Self::GivenName,
        Self::Initials,
        Self::Name,
    ];

    fn oid(self) -> &'static [u64] {
        match self {
            Self::CommonName => &[2, 5, 4, 3],
            Self::Surname => &[2, 5, 4, 4],
            Self::Country => &[2, 5, 4, 6],
            Self::City => &[2, 5, 4, 7],
            Self::State => &[2, 5, 4, 8],
            Self::Organization => &[2, 5, 4, 10],
            Self::OrganizationalUnit => &[2, 5, 4, 11],
            Self::Name => &[2, 5, 4, 41],
            Self::GivenName => &[2, 5, 4, 42],
            Self::Initials => &[2, 5, 4, 43],
            Self::Email => EMAIL,
        }
    }

    fn longest(self) -> usize {
        match self {
            Self::CommonName
            | Self::Organization
            | Self::OrganizationalUnit => 64,
            Self::Country => 2,
            Self::City | Self::State => 128,
            Self::Email => 255,
            Self::Surname | Self::GivenName | Self::Initials | Self::Name => 32,
        }
    }

    /// The value as the part of a name has it, if it can.
    fn value(self, text: &str) -> Option<DnValue> {
        let length = text.chars().count();
        if length == 0 || length > self.longest() {
            return None;
        }
        match self {
            Self::Country => {
                let two = length == 2
                    && text.bytes().all(|byte| byte.is_ascii_alphabetic());
                let text = two.then(|| text.to_ascii_uppercase())?;
                Some(DnValue::PrintableString(text.try_into().ok()?))
            }
            Self::Email => {
                Some(DnValue::Ia5String(text.to_owned().try_into().ok()?))
            }
            _ => Some(DnValue::Utf8String(text.to_owned())),
        }
    }
}

/// What a certificate shall say.
#[derive(Default)]
pub(crate) struct Wanted {
    /// The subject.
    pub(crate) subject: Vec<(Part, String)>,
    /// Names and addresses of the host.
    pub(crate) names: Vec<String>,
    pub(crate) usages: Vec<KeyUsagePurpose>,
    pub(crate) purposes: Vec<ExtendedKeyUsagePurpose>,
    /// What the certificate is revoked with.
    pub(crate) challenge: Option<String>,
    pub(crate) unstructured: Option<String>,
}

/// What cannot be in a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// A part of the subject.
    Part(Part),
    /// One of the names.
    Name(String),
    Challenge,
    Unstructured,
}

impl Wanted {
    /// What the first certificate of `pem` says.
    pub(super) fn again(pem: &str) -> Option<Self> {
        let (_, section) = parse_x509_pem(pem.as_bytes()).ok()?;
        let parsed = section.parse_x509().ok()?;
        let mut wanted = Self::default();
        for attribute in parsed.subject().iter_attributes() {
            let oid: Vec<u64> = attribute.attr_type().iter()?.collect();
            let part = Part::ALL.into_iter().find(|it| it.oid() == oid);
            if let (Some(part), Ok(text)) = (part, attribute.as_str()) {
                wanted.subject.push((part, text.to_owned()));
            }
        }
        let names = parsed.subject_alternative_name().ok()?;
        for name in names.map_or(&[][..], |it| &it.value.general_names) {
            match name {
                GeneralName::DNSName(name) => {
                    wanted.names.push((*name).to_owned());
                }
                GeneralName::IPAddress(bytes) => {
                    wanted.names.extend(address(bytes));
                }
                _ => {}
            }
        }
        Some(wanted)
    }

    /// What is asked for, in the form of the library.
    pub(crate) fn params(&self) -> Result<CertificateParams, Unfit> {
        let mut name = DistinguishedName::new();
        for (part, text) in &self.subject {
            let value = part.value(text).ok_or(Unfit::Part(*part))?;
            name.push(DnType::from_oid(part.oid()), value);
        }
        let mut params = CertificateParams::default();
        for name in &self.names {
            let unfit = || Unfit::Name(name.clone());
            if name.is_empty() || name.len() > 253 {
                return Err(unfit());
            }
            let one = CertificateParams::new([name.clone()]);
            let one = one.map_err(|_| unfit())?;
            params.subject_alt_names.extend(one.subject_alt_names);
        }
        params.distinguished_name = name;
        params.key_usages.clone_from(&self.usages);
        params.extended_key_usages.clone_from(&self.purposes);
        if params.key_usages.is_empty() {
            params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        }
        if params.extended_key_usages.is_empty() {
            let purpose = ExtendedKeyUsagePurpose::ServerAuth;
            params.extended_key_usages.push(purpose);
        }
        Ok(params)
    }

    /// The attributes beside the subject.
    pub(crate) fn attributes(&self) -> Result<Vec<Attribute>, Unfit> {
        let mut attributes = Vec::new();
        for (oid, text, unfit) in [
            (CHALLENGE, &self.challenge, Unfit::Challenge),
            (UNSTRUCTURED, &self.unstructured, Unfit::Unstructured),
        ] {
            if let Some(text) = text {
                let values = set_of_text(text).ok_or(unfit)?;
                attributes.push(Attribute { oid, values });
            }
        }
        Ok(attributes)
    }

    /// The request as PEM, signed with `key`.
    pub(super) fn sign(&self, key: &KeyPair) -> Result<String, rcgen::Error> {
        let unfit = |_| rcgen::Error::UnsupportedInCsr;
        let params = self.params().map_err(unfit)?;
        let attributes = self.attributes().map_err(unfit)?;
        params.serialize_request_with_attributes(key, attributes)?.pem()
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    Some(v4.or(v6).ok()?.to_string())
}

/// `SET OF UTF8String` with one member, as DER.
fn set_of_text(text: &str) -> Option<Vec<u8>> {
    const SET: u8 = 0x31;
    const UTF8_STRING: u8 = 0x0c;
    // Longer ones would need another form of length.
    let length = u8::try_from(text.len()).ok().filter(|it| *it <= 125)?;
    let mut der = vec![SET, length + 2, UTF8_STRING, length];
    der.extend(text.as_bytes());
    (length > 0).then_some(der)
}

/// The sections of a PEM text whose label ends with `label`.
pub(super) fn sections<'a>(
    pem: &'a str,
    label: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let mut rest = pem;
    let next = move || loop {
        let start = rest.find("-----BEGIN ")?;
        let section = rest.get(start..)?;
        let (head, _) = section.get(11..)?.split_once("-----")?;
        let last = format!("-----END {head}-----");
        let end = section.find(&last)? + last.len();
        rest = section.get(end..)?;
        if head.ends_with(label) {
            return Some(format!("{}\n", section.get(..end)?));
        }
    };
    std::iter::from_fn(next)
}
