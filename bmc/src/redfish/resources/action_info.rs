//! `ActionInfo`: the parameters of an action, as far as a resource takes them.

use std::collections::BTreeSet;

use onprem_redfish::{
    csdl::{self, Kind, Property},
    schema::action_info::{self, ParameterTypes, Parameters},
};
use serde_json::Value;

use super::{With as _, number};
use crate::redfish::resource::{
    Action, Answer, Caller, Freshness, Resource, View, answer,
};

/// `…/ResetActionInfo`, beside the resource that has the action. The router
/// makes one for each action with parameters.
pub(crate) struct ActionInfo {
    /// The pattern of its URIs.
    uri: &'static str,
    of: &'static dyn Resource,
    action: &'static Action,
}

impl ActionInfo {
    /// The last segment of the URI of what describes `action`, if it has
    /// parameters.
    pub(crate) fn id(action: &Action) -> Option<String> {
        let (name, parameters) = action;
        let name = name.rsplit('.').next().unwrap_or(name);
        (!parameters.is_empty()).then(|| format!("{name}ActionInfo"))
    }

    /// What describes `action`, one that `of` has.
    pub(crate) fn new(
        of: &'static dyn Resource,
        action: &'static Action,
    ) -> Option<Self> {
        let uri = format!("{}/{}", of.uri(), Self::id(action)?);
        // It lives as long as the process, as all paths do.
        Some(Self { uri: uri.leak(), of, action })
    }
}

impl Resource for ActionInfo {
    fn uri(&self) -> &'static str {
        self.uri
    }

    fn kind(&self) -> &'static str {
        "ActionInfo"
    }

    fn freshness(&self) -> Freshness {
        self.of.freshness()
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let (name, pointers) = self.action;
        let served = self.of.get(view, ids)?;
        let (_, about) =
            served.actions.into_iter().find(|(it, _)| it == name)?;
        let rules = csdl::type_named(self.of.kind())?.action(name)?;
        let taken: BTreeSet<_> =
            pointers.iter().filter_map(|it| it.split('/').nth(1)).collect();
        let parameters = rules.parameters.iter();
        let parameters =
            parameters.filter(|it| taken.contains(it.name())).map(|it| {
                let allowed = format!("{}@Redfish.AllowableValues", it.name());
                describe(it, about.get(&allowed))
            });
        let body = action_info::ActionInfo::new(
            "",
            Self::id(self.action)?,
            format!("Parameters of {name}"),
        )
        .parameters(parameters);
        Some(answer(body))
    }

    fn is_own(&self, view: &View<'_>, ids: &[&str], caller: &Caller) -> bool {
        self.of.is_own(view, ids, caller)
    }
}

/// A parameter with the values that it is said to take, or else with those
/// of the schema.
fn describe(of: &Property, said: Option<&Value>) -> Parameters {
    let said = said.and_then(Value::as_array).map(|values| {
        let texts = values.iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect::<Vec<_>>()
    });
    let schema = || {
        let all: Vec<_> = of.members().iter().map(|it| (*it).into()).collect();
        (!all.is_empty()).then_some(all)
    };
    let object = match of.kind {
        Kind::Object(it) | Kind::Excerpt(it) => Some(format!("#{}", it.name)),
        Kind::Link(_) => Some("#odata-v4.idRef".to_owned()),
        _ => None,
    };
    Parameters::new(of.name())
        .required(of.required)
        .with(data_type(of), Parameters::data_type)
        .with(object, Parameters::object_data_type)
        .with(said.or_else(schema), Parameters::allowable_values)
        .with(of.pattern(), Parameters::allowable_pattern)
        .with(of.minimum().and_then(number), Parameters::minimum_value)
        .with(of.maximum().and_then(number), Parameters::maximum_value)
}

fn data_type(of: &Property) -> Option<ParameterTypes> {
    let (one, many) = match of.kind {
        Kind::Boolean => (ParameterTypes::Boolean, None),
        Kind::Integer | Kind::Number => {
            (ParameterTypes::Number, Some(ParameterTypes::NumberArray))
        }
        Kind::Object(_) | Kind::Excerpt(_) | Kind::Link(_) => {
            (ParameterTypes::Object, Some(ParameterTypes::ObjectArray))
        }
        Kind::Text
        | Kind::Time
        | Kind::Duration
        | Kind::Uuid
        | Kind::Primitive
        | Kind::Enum(_) => {
            (ParameterTypes::String, Some(ParameterTypes::StringArray))
        }
    };
    if of.collection { many } else { Some(one) }
}
