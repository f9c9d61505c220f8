//! Structs that hold only what was set.
//!
//! The generator's structs have a field for each property of the schema,
//! hundreds of bytes to move and to drop at each call that sets one, and a
//! serialiser each. The agent sets a few of them, once. What is written here
//! in their place has the same constructors and setters, checked by the same
//! types, over one list of JSON values.

use crate::Result;
use std::collections::HashMap;
use syn::{
    Attribute, Expr, Field, Fields, FnArg, ImplItem, ImplItemFn, Item,
    ItemImpl, ItemStruct, Meta, Stmt, Type, parse_quote,
};

/// A property: its place among the others, its type, its name in JSON, and
/// whether it is left out where there is none.
struct Property {
    place: u16,
    of: Type,
    /// `None` where its members stand among the others.
    name: Option<String>,
    optional: bool,
}

type Properties = HashMap<String, Property>;

/// The source with its structs replaced.
pub(crate) fn rewrite(source: &str) -> Result<String> {
    let mut file = syn::parse_file(source)?;
    for item in &mut file.items {
        if let Item::Mod(module) = item
            && let Some((_, items)) = &mut module.content
        {
            *items = module_items(std::mem::take(items))?;
        }
    }
    Ok(prettyplease::unparse(&file))
}

fn module_items(items: Vec<Item>) -> Result<Vec<Item>> {
    let mut structs = HashMap::new();
    let mut made = Vec::new();
    for item in items {
        match item {
            Item::Struct(it) if serialized(&it.attrs) => {
                structs.insert(it.ident.to_string(), properties(&it)?);
                made.extend(thin(it));
            }
            Item::Enum(mut it) if serialized(&it.attrs) => {
                let name = &it.ident;
                made.push(parse_quote! {
                    impl crate::sparse::IntoJson for #name {
                        fn into_json(self) -> serde_json::Value {
                            nv_redfish_server_core::Enum::as_str(self).into()
                        }
                    }
                });
                it.attrs.retain(|it| !it.path().is_ident("derive"));
                it.attrs.push(
                    parse_quote!(#[derive(Debug, Clone, Copy, PartialEq, Eq)]),
                );
                for variant in &mut it.variants {
                    variant.attrs.retain(|it| !it.path().is_ident("serde"));
                }
                made.push(Item::Enum(it));
            }
            it => made.push(it),
        }
    }
    for item in &mut made {
        if let Item::Impl(it) = item
            && it.trait_.is_none()
            && let Some(properties) = structs.get(&self_name(it))
        {
            methods(it, properties)?;
        }
    }
    Ok(made)
}

fn self_name(it: &ItemImpl) -> String {
    match &*it.self_ty {
        Type::Path(path) => {
            path.path.get_ident().map(ToString::to_string).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn serialized(attributes: &[Attribute]) -> bool {
    derives(attributes, "Serialize")
}

fn derives(attributes: &[Attribute], name: &str) -> bool {
    let mut found = false;
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            let _ = attribute.parse_nested_meta(|meta| {
                let last = meta.path.segments.last();
                found |= last.is_some_and(|it| it.ident == name);
                Ok(())
            });
        }
    }
    found
}

fn properties(of: &ItemStruct) -> Result<Properties> {
    let Fields::Named(fields) = &of.fields else {
        return Err(format!("{} has no named fields", of.ident).into());
    };
    let fields = fields.named.iter().enumerate();
    fields.map(|(place, field)| property(place, field)).collect()
}

fn property(place: usize, field: &Field) -> Result<(String, Property)> {
    let label = field.ident.as_ref().map(ToString::to_string);
    let label = label.unwrap_or_default();
    let (mut name, mut optional, mut flat) = (None, false, false);
    for attribute in &field.attrs {
        if !attribute.path().is_ident("serde") {
            continue;
        }
        let Meta::List(_) = attribute.meta else { continue };
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("flatten") {
                flat = true;
            } else if meta.path.is_ident("rename") {
                let text: syn::LitStr = meta.value()?.parse()?;
                name = Some(text.value());
            } else if meta.path.is_ident("skip_serializing_if") {
                let _: syn::LitStr = meta.value()?.parse()?;
                optional = true;
            } else {
                return Err(meta.error("not known here"));
            }
            Ok(())
        })?;
    }
    if name.is_some() == flat {
        return Err(format!("{label} has no name").into());
    }
    let place = u16::try_from(place)?;
    Ok((label, Property { place, of: field.ty.clone(), name, optional }))
}

/// The struct in its new form.
fn thin(mut it: ItemStruct) -> Vec<Item> {
    let by_default = derives(&it.attrs, "Default");
    it.attrs.retain(|it| !it.path().is_ident("derive"));
    let (name, attributes) = (&it.ident, &it.attrs);
    let mut made = vec![
        parse_quote! {
            #(#attributes)*
            #[derive(Debug)]
            pub struct #name(crate::sparse::Sparse);
        },
        parse_quote! {
            impl crate::sparse::IntoJson for #name {
                fn into_json(self) -> serde_json::Value {
                    self.0.into_json()
                }
            }
        },
        parse_quote! {
            impl From<#name> for serde_json::Map<String, serde_json::Value> {
                fn from(it: #name) -> Self {
                    it.0.into_map()
                }
            }
        },
    ];
    if by_default {
        made.push(parse_quote! {
            impl Default for #name {
                fn default() -> Self {
                    Self::new()
                }
            }
        });
    }
    made
}

fn methods(it: &mut ItemImpl, properties: &Properties) -> Result<()> {
    for item in &mut it.items {
        let ImplItem::Fn(method) = item else { continue };
        if matches!(method.sig.inputs.first(), Some(FnArg::Receiver(_))) {
            setter(method, properties)?;
        } else {
            constructor(method, properties)?;
        }
    }
    Ok(())
}

/// `self.x = …; self`
fn setter(method: &mut ImplItemFn, properties: &Properties) -> Result<()> {
    let unheard = || format!("a setter of another kind: {}", method.sig.ident);
    let Some(Stmt::Expr(Expr::Assign(assign), _)) = method.block.stmts.first()
    else {
        return Err(unheard().into());
    };
    let Expr::Field(field) = &*assign.left else {
        return Err(unheard().into());
    };
    let syn::Member::Named(label) = &field.member else {
        return Err(unheard().into());
    };
    let property = &properties[&label.to_string()];
    let value = typed(&assign.right, property);
    let set = put(&parse_quote!(self.0), property, &value);
    method.block = parse_quote!({
        #set;
        self
    });
    Ok(())
}

/// `Self { x: …, … }`
fn constructor(method: &mut ImplItemFn, properties: &Properties) -> Result<()> {
    let Some(Stmt::Expr(Expr::Struct(made), None)) = method.block.stmts.first()
    else {
        let name = &method.sig.ident;
        return Err(format!("a constructor of another kind: {name}").into());
    };
    let mut sets = Vec::<Stmt>::new();
    for field in &made.fields {
        let syn::Member::Named(label) = &field.member else { continue };
        let property = &properties[&label.to_string()];
        let none =
            matches!(&field.expr, Expr::Path(it) if it.path.is_ident("None"));
        if property.name.is_none() || (none && property.optional) {
            continue;
        }
        let value = typed(&field.expr, property);
        let set = put(&parse_quote!(made), property, &value);
        sets.push(parse_quote!(#set;));
    }
    let mutable = if sets.is_empty() {
        None
    } else {
        Some(<syn::Token![mut]>::default())
    };
    method.block = parse_quote!({
        let #mutable made = crate::sparse::Sparse::new();
        #(#sets)*
        Self(made)
    });
    Ok(())
}

/// The value, as the type that the property has.
fn typed(value: &Expr, property: &Property) -> Expr {
    let of = &property.of;
    parse_quote!({
        let value: #of = #value;
        value
    })
}

/// Puts a value into a list of properties.
fn put(into: &Expr, property: &Property, value: &Expr) -> Expr {
    let place = property.place;
    match &property.name {
        Some(name) => parse_quote!(#into.set(#place, #name, #value)),
        None => parse_quote!(#into.spread(#place, #value)),
    }
}
