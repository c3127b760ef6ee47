//! One handler: a function with one of our attributes.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, Ident, ImplItemFn, LitStr, Meta, Result, ReturnType, Token};

use crate::parameter::{Argument, Parameter};
use crate::text;

/// What a handler is for.
pub(crate) enum Role {
    /// An opcode of this name.
    Op(LitStr),
    /// `@timer`.
    Timer,
    /// `@answer`.
    Answer,
    /// `@event` of these kinds.
    Event(Vec<LitStr>),
}

/// A handler, as read.
pub(crate) struct Handler {
    pub(crate) role: Role,
    pub(crate) function: Ident,
    doc: String,
    parameters: Vec<Parameter>,
    returns: proc_macro2::Span,
}

impl Handler {
    /// Reads a function and takes the attributes that are ours off it; none where it is no handler.
    pub(crate) fn take(function: &mut ImplItemFn) -> Result<Option<Self>> {
        let Some(at) = function.attrs.iter().position(|it| role_name(it).is_some()) else {
            return Ok(None);
        };
        let attribute = function.attrs.remove(at);
        if let Some(second) = function.attrs.iter().find(|it| role_name(it).is_some()) {
            return Err(Error::new_spanned(
                second,
                "a handler has one of #[op], #[timer], #[answer], #[event]",
            ));
        }
        if let Some(keyword) = &function.sig.asyncness {
            return Err(Error::new_spanned(
                keyword,
                "a handler is not async: effects are staged, nothing waits",
            ));
        }
        if let ReturnType::Default = function.sig.output {
            return Err(Error::new_spanned(
                &function.sig,
                "a handler returns Result<…>; Result<()> for an empty reply",
            ));
        }
        let handler = Self {
            role: role(&attribute, &function.sig.ident)?,
            function: function.sig.ident.clone(),
            doc: text::doc(&function.attrs),
            parameters: function
                .sig
                .inputs
                .iter_mut()
                .map(Parameter::take)
                .collect::<Result<_>>()?,
            returns: function.sig.output.span(),
        };
        handler.check(function)?;
        Ok(Some(handler))
    }

    fn arguments(&self) -> impl Iterator<Item = &Argument> {
        self.parameters
            .iter()
            .filter_map(|parameter| match parameter {
                Parameter::Call => None,
                Parameter::Argument(argument) => Some(&**argument),
            })
    }

    fn check(&self, function: &ImplItemFn) -> Result<()> {
        let (expected, form) = match self.role {
            Role::Op(_) => return Ok(()),
            Role::Timer => (2, "#[timer] fn tick(id: String, payload: Vec<u8>)"),
            Role::Answer => (2, "#[answer] fn answered(tag: String, answer: Answer)"),
            Role::Event(_) => (1, "#[event(\"kind\")] fn happened(details: Map)"),
        };
        for argument in self.arguments() {
            argument.plain()?;
        }
        if self.arguments().count() == expected {
            return Ok(());
        }
        Err(Error::new_spanned(
            &function.sig.inputs,
            format!("expected {form}, with `call: &Call` first if you like"),
        ))
    }

    /// Its row in the table, for an opcode.
    pub(crate) fn row(&self) -> Result<Option<TokenStream>> {
        let Role::Op(name) = &self.role else {
            return Ok(None);
        };
        let (doc, returns) = text::split_returns(&self.doc);
        let args: Vec<_> = self.arguments().map(Argument::row).collect::<Result<_>>()?;
        Ok(Some(quote! {
            ::pixelboy_plugin::table::Op { name: #name, doc: #doc, returns: #returns, args: &[#(#args),*] }
        }))
    }

    /// The call of it, with its arguments taken from the operation's.
    pub(crate) fn called(&self) -> TokenStream {
        let function = &self.function;
        let mut nth = 0;
        let parameters = self.parameters.iter().map(|parameter| match parameter {
            Parameter::Call => quote! { call },
            Parameter::Argument(argument) => {
                nth += 1;
                match (&self.role, nth) {
                    (Role::Answer, 2) => quote! { ::pixelboy_plugin::client::take_answer(args)? },
                    _ => argument.taken(),
                }
            }
        });
        quote_spanned! { self.returns => ::pixelboy_plugin::guest::reply(Self::#function(#(#parameters),*)) }
    }
}

fn role_name(attribute: &Attribute) -> Option<&'static str> {
    ["op", "timer", "answer", "event"]
        .into_iter()
        .find(|name| attribute.path().is_ident(name))
}

fn role(attribute: &Attribute, function: &Ident) -> Result<Role> {
    match role_name(attribute) {
        Some("timer") => attribute.meta.require_path_only().map(|_| Role::Timer),
        Some("answer") => attribute.meta.require_path_only().map(|_| Role::Answer),
        Some("event") => {
            let kinds: Punctuated<LitStr, Token![,]> =
                attribute.parse_args_with(Punctuated::parse_terminated)?;
            if kinds.is_empty() {
                return Err(Error::new_spanned(attribute, "expected #[event(\"kind\")]"));
            }
            kinds.iter().try_for_each(check_event)?;
            Ok(Role::Event(kinds.into_iter().collect()))
        }
        _ => {
            let name = match &attribute.meta {
                Meta::Path(_) => LitStr::new(&function.unraw().to_string(), function.span()),
                _ => attribute.parse_args()?,
            };
            check_opcode(&name)?;
            Ok(Role::Op(name))
        }
    }
}

/// The kinds that the contract has.
const EVENTS: [&str; 7] = [
    "started",
    "client-joined",
    "client-left",
    "display-lost",
    "display-resized",
    "screen-lost",
    "playback-ended",
];

fn check_event(kind: &LitStr) -> Result<()> {
    if EVENTS.contains(&kind.value().as_str()) {
        return Ok(());
    }
    Err(Error::new(
        kind.span(),
        format!("there is no such event; there are {}", EVENTS.join(" ")),
    ))
}

fn check_opcode(name: &LitStr) -> Result<()> {
    let text = name.value();
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
    };
    if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::new(
        name.span(),
        format!("an opcode has 1 to 32 of a-z 0-9 _ -, not {text:?}"),
    ))
}
