//! One parameter of a handler.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Error, Expr, ExprRange, FnArg, Pat, PatType, RangeLimits, Result, Token, Type,
};

use crate::{literal, text};

/// What the attributes of an argument are called.
const ATTRIBUTES: [&str; 3] = ["default", "choices", "range"];

/// One parameter, as read; its attributes are gone from the function.
pub(crate) enum Parameter {
    /// `call: &Call`.
    Call,
    /// A value that the client sends.
    Argument(Box<Argument>),
}

/// An argument of an opcode.
pub(crate) struct Argument {
    name: String,
    ty: Type,
    doc: String,
    default: Option<Expr>,
    choices: Option<Punctuated<Expr, Token![,]>>,
    range: Option<ExprRange>,
}

impl Parameter {
    /// Reads a parameter and takes the attributes that are ours off it.
    pub(crate) fn take(input: &mut FnArg) -> Result<Self> {
        let typed = match input {
            FnArg::Typed(typed) => typed,
            FnArg::Receiver(receiver) => {
                let message =
                    "a handler has no self: what outlives a call belongs in `kv` or `store`";
                return Err(Error::new_spanned(receiver, message));
            }
        };
        let argument = Argument::take(typed)?;
        if !is_call(&typed.ty) {
            return Ok(Self::Argument(Box::new(argument)));
        }
        if argument.default.is_some() || argument.choices.is_some() || argument.range.is_some() {
            return Err(Error::new_spanned(
                typed,
                "the call is no argument of the opcode",
            ));
        }
        Ok(Self::Call)
    }
}

impl Argument {
    fn take(typed: &mut PatType) -> Result<Self> {
        let name = match &*typed.pat {
            Pat::Ident(pattern) => pattern.ident.unraw().to_string(),
            other => return Err(Error::new_spanned(other, "an argument needs a name")),
        };
        if let Type::Reference(reference) = &*typed.ty
            && !is_call(&typed.ty)
        {
            let message = "arguments are owned: String, Vec<u8> or Data instead of a reference";
            return Err(Error::new_spanned(reference, message));
        }
        let mut argument = Self {
            name,
            ty: (*typed.ty).clone(),
            doc: text::doc(&typed.attrs),
            default: None,
            choices: None,
            range: None,
        };
        for attribute in &typed.attrs {
            argument.read(attribute)?;
        }
        typed.attrs.retain(|attribute| {
            !attribute.path().is_ident("doc")
                && !ATTRIBUTES
                    .iter()
                    .any(|ours| attribute.path().is_ident(ours))
        });
        Ok(argument)
    }

    fn read(&mut self, attribute: &Attribute) -> Result<()> {
        let path = attribute.path();
        let twice = |known: bool| match known {
            true => Err(Error::new_spanned(
                attribute,
                "this attribute stands here twice",
            )),
            false => Ok(()),
        };
        if path.is_ident("default") {
            twice(self.default.is_some())?;
            self.default = Some(attribute.parse_args()?);
        } else if path.is_ident("choices") {
            twice(self.choices.is_some())?;
            self.choices = Some(attribute.parse_args_with(Punctuated::parse_terminated)?);
        } else if path.is_ident("range") {
            twice(self.range.is_some())?;
            let range: ExprRange = attribute.parse_args()?;
            if range.end.is_some() && matches!(range.limits, RangeLimits::HalfOpen(_)) {
                return Err(Error::new_spanned(
                    range,
                    "a range has both ends: write `..=`",
                ));
            }
            self.range = Some(range);
        }
        Ok(())
    }

    /// Its row in the table, as a constant of type `Arg`.
    pub(crate) fn row(&self) -> Result<TokenStream> {
        let Self {
            name,
            ty,
            doc,
            default,
            choices,
            range,
        } = self;
        let mut row =
            quote_spanned! { ty.span() => ::pixelboy_plugin::table::Arg::new::<#ty>(#name, #doc) };
        let mut fits = Vec::new();
        if let Some(choices) = choices {
            let constants: Vec<_> = choices
                .iter()
                .map(literal::constant)
                .collect::<Result<_>>()?;
            row = quote_spanned! { choices.span() => #row.choices(&[#(#constants),*]) };
            fits.extend(choices.iter().map(|choice| literal::fits(choice, ty)));
        }
        if let Some(range) = range {
            let (min, max) = (end(range.start.as_deref()), end(range.end.as_deref()));
            row = quote_spanned! { range.span() => #row.range(#min, #max) };
            let ends = [&range.start, &range.end].into_iter().flatten();
            fits.extend(ends.map(|end| literal::fits(end, ty)));
            fits.push(
                quote_spanned! { range.span() => ::pixelboy_plugin::table::has_range::<#ty>(); },
            );
        }
        if let Some(default) = default {
            if let Some(choices) = choices
                && !choices.iter().any(|choice| {
                    choice.to_token_stream().to_string() == default.to_token_stream().to_string()
                })
            {
                return Err(Error::new_spanned(
                    default,
                    "the default is none of the choices",
                ));
            }
            let constant = literal::constant(default)?;
            row = quote_spanned! { default.span() => #row.default(#constant) };
            fits.push(literal::fits(default, ty));
        }
        Ok(quote! { { #(#fits)* #row } })
    }

    /// Takes it from the operation's arguments.
    pub(crate) fn taken(&self) -> TokenStream {
        let Self { name, ty, .. } = self;
        quote_spanned! { ty.span() => args.take::<#ty>(#name)? }
    }

    /// An error at its place, when it says more than a reserved operation can.
    pub(crate) fn plain(&self) -> Result<()> {
        match &self.default {
            Some(extra) => Err(Error::new_spanned(
                extra,
                "only arguments of an #[op] have defaults",
            )),
            None => Ok(()),
        }
    }
}

fn end(end: Option<&Expr>) -> TokenStream {
    match end {
        Some(end) => quote! { ::core::option::Option::Some(#end as f64) },
        None => quote! { ::core::option::Option::None },
    }
}

fn is_call(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) => path
                .path
                .segments
                .last()
                .is_some_and(|it| it.ident == "Call"),
            _ => false,
        },
        _ => false,
    }
}
