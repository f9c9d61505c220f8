//! What the structs in [`schema`](crate::schema) are made of: the properties that were set.

use nv_redfish_server_core::{
    AdditionalProperties, EdmGuid, FiniteF64, Reference,
};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What JSON can say, given away.
pub trait IntoJson {
    /// The value in JSON.
    fn into_json(self) -> Value;
}

/// Properties that were set, in the order in which the schema has them.
#[derive(Debug)]
pub(crate) struct Sparse(Vec<(u16, Cow<'static, str>, Value)>);

impl Sparse {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets the property which is at `place` in its schema.
    #[inline]
    pub(crate) fn set(
        &mut self,
        place: u16,
        name: &'static str,
        value: impl IntoJson,
    ) {
        self.put(place, name, value.into_json());
    }

    #[inline(never)]
    fn put(&mut self, place: u16, name: &'static str, value: Value) {
        let Self(all) = self;
        match all.binary_search_by_key(&place, |it| it.0) {
            Ok(at) => {
                if let Some(found) = all.get_mut(at) {
                    found.2 = value;
                }
            }
            Err(at) => all.insert(at, (place, name.into(), value)),
        }
    }

    /// Sets the properties that stand at `place` without being in the schema.
    pub(crate) fn spread(&mut self, place: u16, more: AdditionalProperties) {
        let Self(all) = self;
        all.retain(|it| it.0 != place);
        let at = all.partition_point(|it| it.0 < place);
        let more = more.into_iter();
        let more = more.map(|(name, value)| (place, name.into(), value));
        all.splice(at..at, more);
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        let all = self.0.into_iter();
        all.map(|(_, name, value)| (name.into_owned(), value)).collect()
    }
}

impl IntoJson for Sparse {
    fn into_json(self) -> Value {
        Value::Object(self.into_map())
    }
}

impl IntoJson for Value {
    fn into_json(self) -> Value {
        self
    }
}

impl IntoJson for bool {
    fn into_json(self) -> Value {
        self.into()
    }
}

impl IntoJson for i64 {
    fn into_json(self) -> Value {
        self.into()
    }
}

impl IntoJson for u64 {
    fn into_json(self) -> Value {
        self.into()
    }
}

impl IntoJson for FiniteF64 {
    fn into_json(self) -> Value {
        self.get().into()
    }
}

impl IntoJson for String {
    fn into_json(self) -> Value {
        self.into()
    }
}

impl IntoJson for &'static str {
    fn into_json(self) -> Value {
        self.into()
    }
}

impl IntoJson for EdmGuid {
    fn into_json(self) -> Value {
        self.to_string().into()
    }
}

impl IntoJson for Reference {
    fn into_json(self) -> Value {
        let uri = ("@odata.id".to_owned(), self.odata_id.into());
        Value::Object(Map::from_iter([uri]))
    }
}

impl<T: IntoJson> IntoJson for Option<T> {
    fn into_json(self) -> Value {
        self.map_or(Value::Null, T::into_json)
    }
}

impl<T: IntoJson> IntoJson for Vec<T> {
    fn into_json(self) -> Value {
        self.into_iter().map(T::into_json).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use crate::schema::{
        Reference, fan::Fan, log_entry_collection::LogEntryCollection,
        resource::Oem, sensor::SensorExcerptFan,
    };

    #[test]
    fn says_what_was_set_in_the_order_of_the_schema() {
        let speed = SensorExcerptFan::new()
            .reading_null()
            .speed_rpm(crate::schema::FiniteF64::try_from(4200.5).unwrap());
        let fan = Fan::new("/f", "0", "Fan 0")
            .speed_percent(speed)
            .hot_pluggable(true)
            .model("first")
            .model("second")
            .part_number_null();
        let map: Map<String, Value> = fan.into();
        assert_eq!(
            Value::Object(map).to_string(),
            json!({
                "@odata.id": "/f",
                "@odata.type": Fan::ODATA_TYPE,
                "Id": "0",
                "Name": "Fan 0",
                "Model": "second",
                "PartNumber": null,
                "HotPluggable": true,
                "SpeedPercent": {"Reading": null, "SpeedRPM": 4200.5},
            })
            .to_string()
        );
    }

    #[test]
    fn what_the_schema_does_not_list_stands_among_the_rest() {
        let more = |name: &str| {
            let more = [(name.to_owned(), json!({}))];
            Oem::new().additional_properties(more.into())
        };
        let entries =
            LogEntryCollection::new("/e", "Entries", [Reference::new("/e/1")])
                .oem(more("Old"))
                .oem(more("OnPrem"));
        let map: Map<String, Value> = entries.into();
        assert_eq!(map["Oem"], json!({"OnPrem": {}}));
        assert_eq!(map["Members"], json!([{"@odata.id": "/e/1"}]));
        assert!(!map.contains_key("Description"));
    }
}
