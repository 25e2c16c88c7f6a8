//! The operations of a recorded function.

use crate::link::Link;
use crate::special::{
    self, HALF_LN_2PI, exp, expm1, ln, log_normal_cdf_derivatives, log1p, logistic, normal_cdf, polygamma2, polygamma3,
    select, softplus, stirling, trigamma,
};

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
    "power" Power 2, "reciprocal" Reciprocal 1, "sin" Sin 1, "softplus" Softplus 1, "sqrt" Sqrt 1, "square" Square 1,
    "subtract" Subtract 2, "tanh" Tanh 1, "where" Where 3,
}

impl Op {
    /// The operation of this name, with its number of arguments.
    pub(super) fn parse(name: &str) -> Option<(Op, usize)> {
        OPS.iter().find(|(known, ..)| *known == name).map(|&(_, op, count)| (op, count))
    }

    pub(super) fn arity(self) -> usize {
        OPS.iter().find(|(_, op, _)| *op == self).map_or(1, |(.., count)| *count)
    }

    pub(super) fn names() -> Vec<String> {
        OPS.iter().map(|(name, ..)| (*name).to_owned()).collect()
    }

    /// Whether its result is a number without derivatives, whatever its arguments are.
    pub(super) fn is_step(self) -> bool {
        use Op::{Both, Either, Equal, Floor, Greater, GreaterEqual, Not};
        matches!(self, Both | Either | Equal | Floor | Greater | GreaterEqual | Not)
    }

    /// The value of such an operation.
    #[inline(always)]
    pub(super) fn step(self, x: f64, y: f64) -> f64 {
        let truth = match self {
            Op::Floor => return x.floor(),
            Op::Both => x != 0.0 && y != 0.0,
            Op::Either => x != 0.0 || y != 0.0,
            Op::Equal => x == y,
            Op::Greater => x > y,
            Op::GreaterEqual => x >= y,
            _ => x == 0.0,
        };
        f64::from(u8::from(truth))
    }
}

/// A function of one variable and its first four derivatives in every lane.
#[inline(always)]
pub(super) fn table<const L: usize>(op: Op, x: &[f64; L]) -> [[f64; L]; 5] {
    let mut out = [[0.0; L]; 5];
    // Written out for each that is often used, so that its loop becomes vector code.
    macro_rules! lanes {
        ($f:expr) => {
            for lane in 0..L {
                let found = $f(x[lane]);
                for k in 0..5 {
                    out[k][lane] = found[k];
                }
            }
        };
    }
    match op {
        Op::Exp => {
            for lane in 0..L {
                out[0][lane] = exp(x[lane]);
            }
            out = [out[0]; 5];
        }
        Op::Log => lanes!(log),
        Op::Reciprocal => lanes!(reciprocal),
        Op::Lgamma => lanes!(lgamma),
        Op::Softplus => lanes!(softplus_derivatives),
        Op::Expit => lanes!(expit),
        Op::LogExpit => lanes!(log_expit),
        Op::LogNdtr => lanes!(log_normal_cdf_derivatives),
        _ => {
            for lane in 0..L {
                let found = derivatives(op, x[lane]);
                (0..5).for_each(|k| out[k][lane] = found[k]);
            }
        }
    }
    out
}

#[inline(always)]
fn expit(x: f64) -> [f64; 5] {
    Link::Logit.inverse_derivatives(x)
}

#[inline(always)]
fn log_expit(x: f64) -> [f64; 5] {
    Link::Logit.log_tails(x)[0]
}

#[inline(always)]
fn log(x: f64) -> [f64; 5] {
    let [i, d1, d2, d3, _] = reciprocal(above(0.0, x, x));
    let value = select(x == 0.0, f64::NEG_INFINITY, ln(x));
    [above(0.0, x, value), i, d1, d2, d3]
}

/// NaN below the domain of a function: those of `special` need not say so.
#[inline(always)]
fn above(low: f64, x: f64, value: f64) -> f64 {
    select(x < low, f64::NAN, value)
}

#[inline(always)]
fn reciprocal(x: f64) -> [f64; 5] {
    let i = 1.0 / x;
    let i2 = i * i;
    [i, -i2, 2.0 * i2 * i, -6.0 * i2 * i2, 24.0 * i2 * i2 * i]
}

/// For x > 0, by Stirling's formula.
#[inline(always)]
fn lgamma(x: f64) -> [f64; 5] {
    let (s, i, ln) = (stirling(x), 1.0 / above(0.0, x, x), ln(x));
    let value = (x - 0.5).mul_add(ln, HALF_LN_2PI - x + s[0]);
    let i2 = i * i;
    [
        above(0.0, x, select(x == 0.0, f64::INFINITY, value)),
        (s[1] - 0.5).mul_add(i, ln),
        (0.5 + s[2]).mul_add(i, 1.0) * i,
        (s[3] - 1.0).mul_add(i, -1.0) * i2,
        (3.0 + s[4]).mul_add(i, 2.0) * i2 * i,
    ]
}

/// Those of ln(1 + exp(x)).
#[inline(always)]
fn softplus_derivatives(x: f64) -> [f64; 5] {
    let (p, q) = logistic(x);
    let w = p * q;
    [softplus(x), p, w, w * (q - p), w * 6.0f64.mul_add(-w, 1.0)]
}

/// A function of one variable and its first four derivatives.
#[inline(always)]
fn derivatives(op: Op, x: f64) -> [f64; 5] {
    match op {
        Op::Ndtr => {
            let [_, d1, d2, d3, d4] = Link::Probit.inverse_derivatives(x);
            [normal_cdf(x), d1, d2, d3, d4]
        }
        Op::Expm1 => {
            let e = exp(x);
            [expm1(x), e, e, e, e]
        }
        Op::Log1p => {
            let i = 1.0 / (1.0 + above(-1.0, x, x));
            let i2 = i * i;
            let value = select(x == -1.0, f64::NEG_INFINITY, log1p(x));
            [above(-1.0, x, value), i, -i2, 2.0 * i2 * i, -6.0 * i2 * i2]
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
        sum += 1.0 / (far * far * far * far * far);
        far += 1.0;
    }
    let i2 = 1.0 / (far * far);
    let series = PENTAGAMMA.iter().rev().fold(0.0, |s, c| s * i2 + c);
    sum += i2 * i2 * (0.25 + 0.5 / far + i2 * series);
    [above(0.0, x, special::digamma(x)), trigamma(x), polygamma2(x), polygamma3(x), -24.0 * sum]
}

/// x^p and its derivatives in x; p is a number.
pub(super) fn power(x: f64, p: f64) -> [f64; 5] {
    let (mut f, mut factor) = ([0.0; 5], 1.0);
    for (k, f) in f.iter_mut().enumerate() {
        let rest = p - k as f64;
        // Beyond the last power of a polynomial there is nothing, even at zero.
        if factor != 0.0 {
            *f = factor * libm::pow(x, rest);
        }
        factor *= rest;
    }
    f
}
