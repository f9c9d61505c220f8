//! Requests for certificates: `GenerateCSR`, `Rekey` and `Renew`. The keys
//! stay in the agent, and wait there for their certificates.

use onprem_link::{log::Chain, task::blocking};
use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        certificate::{RekeyResponse, RenewResponse},
        certificate_service::GenerateCsrResponse,
    },
};
use rcgen::{ExtendedKeyUsagePurpose as Purpose, KeyUsagePurpose as Usage};
use serde_json::{Map, Value, json};

use super::allowable;
use crate::{
    redfish::{
        error::Error,
        resource::{Acted, Action, Write},
        uri,
    },
    server::{Algorithm, Part, TlsError, Unfit, Wanted},
};

pub(super) const GENERATE: &str = "CertificateService.GenerateCSR";
pub(super) const REKEY: &str = "Certificate.Rekey";
pub(super) const RENEW: &str = "Certificate.Renew";

const COLLECTION: &str = "/CertificateCollection";
const NAMES: &str = "/AlternativeNames";
const USAGE: &str = "/KeyUsage";
const CHALLENGE: &str = "/ChallengePassword";
const UNSTRUCTURED: &str = "/UnstructuredName";
const ALGORITHM: &str = "/KeyPairAlgorithm";
const CURVE: &str = "/KeyCurveId";
const BITS: &str = "/KeyBitLength";
/// The most names that a certificate is asked for.
const MANY: usize = 64;

/// The parameters of [`GENERATE`].
pub(super) const PARAMETERS: &[&str] = &[
    "/CommonName",
    "/Organization",
    "/OrganizationalUnit",
    "/City",
    "/State",
    "/Country",
    "/Email",
    "/Surname",
    "/GivenName",
    "/Initials",
    "/ContactPerson",
    NAMES,
    USAGE,
    CHALLENGE,
    UNSTRUCTURED,
    ALGORITHM,
    CURVE,
    BITS,
    COLLECTION,
];

/// The actions of the port's certificate.
pub(super) const OF_CERTIFICATE: &[Action] =
    &[(REKEY, &[ALGORITHM, CURVE, BITS, CHALLENGE]), (RENEW, &[CHALLENGE])];

const SUBJECT: &[(&str, Part)] = &[
    ("/CommonName", Part::CommonName),
    ("/Organization", Part::Organization),
    ("/OrganizationalUnit", Part::OrganizationalUnit),
    ("/City", Part::City),
    ("/State", Part::State),
    ("/Country", Part::Country),
    ("/Email", Part::Email),
    ("/Surname", Part::Surname),
    ("/GivenName", Part::GivenName),
    ("/Initials", Part::Initials),
    ("/ContactPerson", Part::Name),
];

/// A key, with its names in the TCG Algorithm Registry: algorithm, curve,
/// and bits.
type Kind = (Algorithm, &'static str, &'static str, u32);

const KEYS: &[Kind] = &[
    (Algorithm::P256, "TPM_ALG_ECDSA", "TPM_ECC_NIST_P256", 256),
    (Algorithm::P384, "TPM_ALG_ECDSA", "TPM_ECC_NIST_P384", 384),
    (Algorithm::Ed25519, "TPM_ALG_EDDSA", "TPM_ECC_CURVE_25519", 256),
];

const USAGES: &[(&str, Usage)] = &[
    ("DigitalSignature", Usage::DigitalSignature),
    ("NonRepudiation", Usage::ContentCommitment),
    ("KeyEncipherment", Usage::KeyEncipherment),
    ("DataEncipherment", Usage::DataEncipherment),
    ("KeyAgreement", Usage::KeyAgreement),
    ("EncipherOnly", Usage::EncipherOnly),
    ("DecipherOnly", Usage::DecipherOnly),
];

const PURPOSES: &[(&str, Purpose)] = &[
    ("ServerAuthentication", Purpose::ServerAuth),
    ("ClientAuthentication", Purpose::ClientAuth),
];

/// What is said of the parameters that choose a key.
pub(super) fn kinds_of_keys() -> Map<String, Value> {
    let mut algorithms: Vec<_> = KEYS.iter().map(|it| it.1).collect();
    algorithms.dedup();
    let curves: Vec<_> = KEYS.iter().map(|it| it.2).collect();
    let mut about = allowable("KeyPairAlgorithm", &algorithms);
    about.extend(allowable("KeyCurveId", &curves));
    about
}

/// What is said of the parameters of [`GENERATE`].
pub(super) fn about() -> Map<String, Value> {
    let usages = USAGES.iter().map(|it| it.0);
    let usages: Vec<_> = usages.chain(PURPOSES.iter().map(|it| it.0)).collect();
    let mut about = kinds_of_keys();
    about.extend(allowable("KeyUsage", &usages));
    about
}

/// Carries out [`GENERATE`].
pub(super) async fn generate(write: &Write<'_>) -> Result<Acted, Error> {
    let snapshot = write.service.model.snapshot();
    let manager = &snapshot.inventory.manager;
    let here = uri::of(uri::CERTIFICATES, &[&manager.id]);
    if write.values.get(COLLECTION) != Some(&json!({"@odata.id": here})) {
        return Err(refused(COLLECTION, GENERATE));
    }
    let mut wanted = Wanted {
        names: write.texts(NAMES).unwrap_or_default(),
        challenge: write.text(CHALLENGE).map(str::to_owned),
        unstructured: write.text(UNSTRUCTURED).map(str::to_owned),
        ..Wanted::default()
    };
    for (pointer, part) in SUBJECT {
        if let Some(text) = write.text(pointer) {
            wanted.subject.push((*part, text.to_owned()));
        }
    }
    if write.text("/CommonName").is_none() {
        let host = manager.host_name.as_deref().unwrap_or("localhost");
        wanted.subject.push((Part::CommonName, host.to_owned()));
    }
    if wanted.names.len() > MANY {
        return Err(refused(NAMES, GENERATE));
    }
    for usage in write.texts(USAGE).unwrap_or_default() {
        let known = USAGES.iter().find(|(name, _)| *name == usage);
        let purpose = PURPOSES.iter().find(|(name, _)| *name == usage);
        wanted.usages.extend(known.map(|(_, usage)| *usage));
        wanted.purposes.extend(purpose.map(|(_, it)| it.clone()));
        if known.is_none() && purpose.is_none() {
            return Err(not_in_list(&usage, USAGE, GENERATE));
        }
    }
    let key = algorithm(write, GENERATE)?;
    let request = request(write, wanted, Some(key), GENERATE).await?;
    let answer = GenerateCsrResponse::new(request, Reference::new(here));
    Ok(Acted::Answer(answer.into()))
}

/// Carries out [`REKEY`] and [`RENEW`] of the port's certificate.
pub(super) async fn again(
    write: &Write<'_>,
    action: &str,
) -> Result<Acted, Error> {
    let rekey = action == REKEY;
    let action = if rekey { REKEY } else { RENEW };
    let key = rekey.then(|| algorithm(write, action)).transpose()?;
    let identity = write.service.identity().ok_or_else(Error::internal)?;
    let wanted = identity.wanted_again().ok_or_else(Error::internal)?;
    let challenge = write.text(CHALLENGE).map(str::to_owned);
    let wanted = Wanted { challenge, ..wanted };
    let request = request(write, wanted, key, action).await?;
    let here = uri::of(uri::CERTIFICATE, write.ids);
    let here = Reference::new(here);
    Ok(Acted::Answer(if rekey {
        RekeyResponse::new(request, here).into()
    } else {
        RenewResponse::new(request, here).into()
    }))
}

async fn request(
    write: &Write<'_>,
    wanted: Wanted,
    key: Option<Algorithm>,
    action: &'static str,
) -> Result<String, Error> {
    let fits = wanted.params().map(drop);
    fits.and_then(|()| wanted.attributes().map(drop)).map_err(|unfit| {
        let pointer = match unfit {
            Unfit::Part(part) => {
                let known = SUBJECT.iter().find(|it| it.1 == part);
                known.map_or("/CommonName", |it| it.0)
            }
            Unfit::Name(name) => {
                let name = name.chars().take(100).collect::<String>();
                let message = base::action_parameter_value_format_error(
                    name,
                    NAMES.trim_start_matches('/'),
                    action,
                );
                return Error::bad(vec![message]);
            }
            Unfit::Challenge => CHALLENGE,
            Unfit::Unstructured => UNSTRUCTURED,
        };
        refused(pointer, action)
    })?;
    let identity = write.service.identity().ok_or_else(Error::internal)?;
    let made = blocking(move || identity.request(&wanted, key)).await;
    let made = made.map_err(|_| Error::internal())?;
    made.map_err(|error| {
        tracing::error!(error = %Chain(&error), "certificate not asked for");
        match &error {
            TlsError::Io { source, .. } => Error::unstored(source),
            _ => Error::internal(),
        }
    })
}

/// The kind of key that is asked for.
fn algorithm(
    write: &Write<'_>,
    action: &'static str,
) -> Result<Algorithm, Error> {
    type Asked<'a> = (&'static str, Option<&'a str>, fn(&Kind) -> String);
    let mut fitting: Vec<_> = KEYS.iter().collect();
    let bits = write.number(BITS)?.map(|bits| bits.to_string());
    let bits = bits.as_deref();
    let values: [Asked<'_>; 3] = [
        (ALGORITHM, write.text(ALGORITHM), |it| it.1.to_owned()),
        (CURVE, write.text(CURVE), |it| it.2.to_owned()),
        (BITS, bits, |it| it.3.to_string()),
    ];
    for (pointer, asked, value) in values {
        let Some(asked) = asked else { continue };
        fitting.retain(|it| value(it) == asked);
        if fitting.is_empty() {
            return Err(not_in_list(asked, pointer, action));
        }
    }
    Ok(fitting.first().map_or_else(Algorithm::default, |it| it.0))
}

fn refused(pointer: &str, action: &str) -> Error {
    let name = pointer.trim_start_matches('/');
    Error::bad(vec![base::action_parameter_value_error(name, action)])
}

fn not_in_list(value: &str, pointer: &str, action: &str) -> Error {
    let name = pointer.trim_start_matches('/');
    let value: String = value.chars().take(100).collect();
    let message = base::action_parameter_value_not_in_list(value, name, action);
    Error::bad(vec![message])
}
