//! Every operation of the API on one page.

use askama::Template;

use super::error::Refusal;
use super::made::Made;
use super::page::Frame;
use super::visit::Visit;

#[derive(Debug, Template)]
#[template(path = "operations.html")]
struct OperationsPage {
    frame: Frame,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    id: String,
    title: String,
    operations: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    method: String,
    path: String,
    summary: String,
    command: String,
}

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Result<Made, Refusal> {
    let model = visit.model;
    let groups = model
        .resources
        .iter()
        .map(|resource| Group {
            id: resource.name.clone(),
            title: resource.title.clone(),
            operations: resource
                .operations()
                .map(|operation| Row {
                    method: operation.method.clone(),
                    path: operation.path.clone(),
                    summary: operation.summary.clone(),
                    command: {
                        let places: Vec<_> = operation
                            .path_parameters
                            .iter()
                            .map(|own| own.name.to_uppercase())
                            .collect();
                        let places: Vec<_> =
                            places.iter().map(String::as_str).collect();
                        model.command(resource, operation, &places)
                    },
                })
                .collect(),
        })
        .filter(|group| !group.operations.is_empty())
        .collect();
    let frame = visit.frame("API").await?;
    Made::new(&OperationsPage { frame, groups })
}
