//! The operations of a recorded function, on jets.

use crate::family::jets::Jet;
use crate::link::Link;
use crate::special::{exp, expm1, log1p, normal_cdf, polygamma2, polygamma3, trigamma};

/// B_2k / (2k)! times 5 6 ... (2k + 3): the series of the fourth derivative of digamma.
const PENTAGAMMA: [f64; 6] = [5.0 / 12.0, -7.0 / 24.0, 0.5, -11.0 / 8.0, 65.0 / 12.0, -691.0 / 24.0];
/// From here on that series has all digits.
const FAR: f64 = 16.0;

macro_rules! ops {
    ($($name:literal $variant:ident $count:literal),* $(,)?) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Op { $($variant),* }

        /// (name, operation, number of arguments).
        const OPS: &[(&str, Op, usize)] = &[$(($name, Op::$variant, $count)),*];
    };
}

ops! {
    "absolute" Absolute 1, "add" Add 2, "arctan" Arctan 1, "both" Both 2, "cos" Cos 1, "digamma" Digamma 1,
    "divide" Divide 2, "either" Either 2, "equal" Equal 2, "exp" Exp 1, "expit" Expit 1, "expm1" Expm1 1,
    "floor" Floor 1, "greater" Greater 2, "greater_equal" GreaterEqual 2, "lgamma" Lgamma 1, "log" Log 1,
    "log1p" Log1p 1, "log_expit" LogExpit 1, "log_ndtr" LogNdtr 1, "logaddexp" Logaddexp 2, "maximum" Maximum 2,
    "minimum" Minimum 2, "multiply" Multiply 2, "ndtr" Ndtr 1, "negative" Negative 1, "not" Not 1,
    "power" Power 2, "reciprocal" Reciprocal 1, "sin" Sin 1, "sqrt" Sqrt 1, "square" Square 1,
    "subtract" Subtract 2, "tanh" Tanh 1, "where" Where 3,
}

impl Op {
    /// The operation of this name, with its number of arguments.
    pub(super) fn parse(name: &str) -> Option<(Op, usize)> {
        OPS.iter().find(|(known, ..)| *known == name).map(|&(_, op, count)| (op, count))
    }

    pub(super) fn names() -> Vec<String> {
        OPS.iter().map(|(name, ..)| (*name).to_owned()).collect()
    }
}

/// One number for a truth.
fn truth<const D: usize, const N: usize>(value: bool) -> Jet<D, N> {
    Jet::constant(f64::from(u8::from(value)))
}

/// The operation on as many arguments as it has; the others are not looked at.
#[inline(always)]
pub(super) fn apply<const D: usize, const N: usize>(op: Op, [a, b, c]: [&Jet<D, N>; 3]) -> Jet<D, N> {
    let (x, y) = (a.value(), b.value());
    match op {
        Op::Add => *a + *b,
        Op::Subtract => *a - *b,
        Op::Multiply => *a * *b,
        Op::Divide => *a / *b,
        Op::Negative => -*a,
        Op::Square => a.square(),
        Op::Reciprocal => a.recip(),
        Op::Exp => a.exp(),
        Op::Log => a.ln(),
        Op::Lgamma => a.lgamma(),
        Op::LogNdtr => a.log_normal_cdf(),
        Op::Absolute => {
            if x < 0.0 {
                -*a
            } else {
                *a
            }
        }
        Op::Maximum => {
            if x < y {
                *b
            } else {
                *a
            }
        }
        Op::Minimum => {
            if y < x {
                *b
            } else {
                *a
            }
        }
        Op::Where => {
            if x != 0.0 {
                *b
            } else {
                *c
            }
        }
        Op::Not => truth(x == 0.0),
        Op::Both => truth(x != 0.0 && y != 0.0),
        Op::Either => truth(x != 0.0 || y != 0.0),
        Op::Equal => truth(x == y),
        Op::Greater => truth(x > y),
        Op::GreaterEqual => truth(x >= y),
        Op::Floor => Jet::constant(x.floor()),
        Op::Logaddexp => log_sum(*a, *b),
        Op::Power => power(*a, *b),
        _ => a.compose(derivatives(op, x)),
    }
}

/// A function of one variable and its first four derivatives.
#[inline(always)]
fn derivatives(op: Op, x: f64) -> [f64; 5] {
    match op {
        Op::Expit => Link::Logit.inverse_derivatives(x),
        Op::LogExpit => Link::Logit.log_tails(x)[0],
        Op::Ndtr => {
            let [_, d1, d2, d3, d4] = Link::Probit.inverse_derivatives(x);
            [normal_cdf(x), d1, d2, d3, d4]
        }
        Op::Expm1 => {
            let e = exp(x);
            [expm1(x), e, e, e, e]
        }
        Op::Log1p => {
            let i = 1.0 / (1.0 + x);
            let i2 = i * i;
            [log1p(x), i, -i2, 2.0 * i2 * i, -6.0 * i2 * i2]
        }
        Op::Sqrt => {
            let (r, i) = (x.sqrt(), 1.0 / x);
            let d1 = 0.5 * r * i;
            [r, d1, -0.5 * d1 * i, 0.75 * d1 * i * i, -1.875 * d1 * i * i * i]
        }
        Op::Sin => {
            let (s, c) = (libm::sin(x), libm::cos(x));
            [s, c, -s, -c, s]
        }
        Op::Cos => {
            let (s, c) = (libm::sin(x), libm::cos(x));
            [c, -s, -c, s, c]
        }
        Op::Tanh => {
            let [_, d1, d2, d3, d4] = Link::Logit.inverse_derivatives(2.0 * x);
            [libm::tanh(x), 4.0 * d1, 8.0 * d2, 16.0 * d3, 32.0 * d4]
        }
        Op::Arctan => {
            let c = 1.0 / x.mul_add(x, 1.0);
            let (c2, x2) = (c * c, x * x);
            [libm::atan(x), c, -2.0 * x * c2, (6.0 * x2 - 2.0) * c2 * c, 24.0 * x * (1.0 - x2) * c2 * c2]
        }
        Op::Digamma => digamma(x),
        _ => [f64::NAN; 5],
    }
}

/// For x > 0.
fn digamma(x: f64) -> [f64; 5] {
    let (mut sum, mut far) = (0.0, x);
    while far < FAR {
        sum += far.powi(-5);
        far += 1.0;
    }
    let i2 = 1.0 / (far * far);
    let series = PENTAGAMMA.iter().rev().fold(0.0, |s, c| s * i2 + c);
    sum += i2 * i2 * (0.25 + 0.5 / far + i2 * series);
    [crate::special::digamma(x), trigamma(x), polygamma2(x), polygamma3(x), -24.0 * sum]
}

/// ln(exp(a) + exp(b)); minus infinity is the logarithm of nothing.
fn log_sum<const D: usize, const N: usize>(a: Jet<D, N>, b: Jet<D, N>) -> Jet<D, N> {
    let (x, y) = (a.value(), b.value());
    if y == f64::NEG_INFINITY {
        a
    } else if x == f64::NEG_INFINITY {
        b
    } else if x > y {
        a + (b - a).softplus()
    } else {
        b + (a - b).softplus()
    }
}

/// a^b: by the power rule where b is a number, else exp(b ln a).
fn power<const D: usize, const N: usize>(a: Jet<D, N>, b: Jet<D, N>) -> Jet<D, N> {
    let (x, p) = (a.value(), b.value());
    if !b.is_constant() {
        return (b * a.ln()).exp();
    }
    if p != p.trunc() {
        return a.powf(p);
    }
    let (mut f, mut factor) = ([0.0; 5], 1.0);
    for (k, f) in f.iter_mut().enumerate() {
        let rest = p - k as f64;
        if factor != 0.0 {
            *f = factor * libm::pow(x, rest);
        }
        factor *= rest;
    }
    a.compose(f)
}
