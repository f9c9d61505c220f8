//! `UpdateService`: how the agent is brought up to date.

use onprem_redfish::{
    message::{Message, base},
    schema::{
        Reference, resource as common,
        update_service::{self, SupportedUpdateImageFormatType},
    },
};

use super::allowable;
use crate::{
    redfish::{
        error::Error,
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        update::{Order, Settings, Source},
        uri,
    },
    update::{fetch, image::MAX_IMAGE},
};

const SIMPLE: &str = "UpdateService.SimpleUpdate";
/// By what an image can be fetched.
const PROTOCOLS: [&str; 2] = ["HTTP", "HTTPS"];

/// `/redfish/v1/UpdateService`
pub(crate) struct UpdateService;

impl Resource for UpdateService {
    fn uri(&self) -> &'static str {
        uri::UPDATE_SERVICE
    }

    fn kind(&self) -> &'static str {
        "UpdateService"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let updater = &view.service.updater;
        let enabled = updater.is_enabled();
        let state = if enabled {
            common::State::Enabled
        } else {
            common::State::Disabled
        };
        let status =
            common::Status::new().state(state).health(common::Health::Ok);
        let body = update_service::UpdateService::new(
            "",
            "UpdateService",
            "Update service",
        )
        .service_enabled(enabled)
        .status(status)
        .max_image_size_bytes(i64::try_from(MAX_IMAGE).unwrap_or(i64::MAX))
        .multipart_http_push_uri(uri::UPDATE_PUSH)
        .supported_update_image_formats([
            SupportedUpdateImageFormatType::VendorDefined,
        ])
        .verify_remote_server_certificate(updater.settings().verify_server)
        .firmware_inventory(Reference::new(uri::FIRMWARES));
        let protocols = allowable("TransferProtocol", &PROTOCOLS);
        Some(answer(body).action(SIMPLE, protocols))
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/VerifyRemoteServerCertificate"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let updater = &write.service.updater;
            match write.flag("/VerifyRemoteServerCertificate") {
                Some(verify_server) => {
                    updater.set(Settings { verify_server }).await
                }
                None => Ok(()),
            }
        })
    }

    fn actions(&self) -> &'static [Action] {
        &[(
            SIMPLE,
            &[
                "/ImageURI",
                "/TransferProtocol",
                "/Targets",
                "/Username",
                "/Password",
                "/ForceUpdate",
            ],
        )]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        _: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async {
            let updater = &write.service.updater;
            let image = image_uri(write)?;
            let uri = fetch::check(&image).map_err(|_| {
                wrong(base::action_parameter_value_format_error(
                    &image, "ImageURI", SIMPLE,
                ))
            })?;
            let targets = write.texts("/Targets").unwrap_or_default();
            updater.check_targets(&targets).map_err(|other| {
                wrong(base::action_parameter_value_not_in_list(
                    other, "Targets", SIMPLE,
                ))
            })?;
            let credentials = write.text("/Username").map(|user| {
                let password = write.text("/Password").unwrap_or_default();
                fetch::Credentials::new(user, password)
            });
            let mut names = uri.path().rsplit('/');
            let name = names.find(|name| !name.is_empty()).unwrap_or("image");
            let order = Order {
                image: name.chars().take(100).collect(),
                source: Source::Uri(uri, credentials),
                force: write.flag("/ForceUpdate").unwrap_or(false),
                turn: updater.begin()?,
            };
            Ok(Acted::Task(updater.work(order)))
        })
    }
}

/// The whole URI; the protocol may be said beside it.
fn image_uri(write: &Write<'_>) -> Result<String, Error> {
    let image = write.text("/ImageURI").unwrap_or_default();
    let Some(protocol) = write.text("/TransferProtocol") else {
        return Ok(image.to_owned());
    };
    if !PROTOCOLS.contains(&protocol) {
        return Err(wrong(base::action_parameter_value_not_in_list(
            protocol,
            "TransferProtocol",
            SIMPLE,
        )));
    }
    match image.split_once("://") {
        None => Ok(format!("{}://{image}", protocol.to_lowercase())),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case(protocol) => {
            Ok(image.to_owned())
        }
        Some(_) => Err(wrong(base::action_parameter_value_format_error(
            image, "ImageURI", SIMPLE,
        ))),
    }
}

fn wrong(message: Message) -> Error {
    Error::bad(vec![message])
}
