//! Literals of defaults and choices.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, ExprUnary, Lit, Result, Type, UnOp};

/// A literal as an expression of type `Literal`.
pub(crate) fn constant(expression: &Expr) -> Result<TokenStream> {
    let digits = match expression {
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_),
            expr,
            ..
        }) => expr,
        other => other,
    };
    let Expr::Lit(ExprLit { lit, .. }) = digits else {
        return Err(unfit(expression));
    };
    let negated = !std::ptr::eq(digits, expression);
    let literal = quote_spanned! { expression.span() => ::pixelboy_plugin::table::Literal };
    Ok(match lit {
        Lit::Int(_) => quote_spanned! { expression.span() => #literal::Int(#expression) },
        Lit::Float(_) => quote_spanned! { expression.span() => #literal::Float(#expression) },
        Lit::Bool(_) if !negated => {
            quote_spanned! { expression.span() => #literal::Bool(#expression) }
        }
        Lit::Str(_) if !negated => {
            quote_spanned! { expression.span() => #literal::Text(#expression) }
        }
        Lit::ByteStr(_) if !negated => {
            quote_spanned! { expression.span() => #literal::Bytes(#expression) }
        }
        _ => return Err(unfit(expression)),
    })
}

/// A line that only compiles when a literal fits an argument of this type.
pub(crate) fn fits(expression: &Expr, ty: &Type) -> TokenStream {
    quote_spanned! { expression.span() => const _: <#ty as ::pixelboy_plugin::Argument>::Literal = #expression; }
}

fn unfit(expression: &Expr) -> Error {
    Error::new_spanned(
        expression,
        "expected a literal: true, 1, 0.5, \"text\" or b\"bytes\"",
    )
}
