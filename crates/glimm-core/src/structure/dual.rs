//! Numbers that carry their derivatives: a structure is written once, as a formula.
//!
//! A hyper-dual number v + a e1 + b e2 + c e1 e2 with e1^2 = e2^2 = 0 takes exact first and mixed second derivatives
//! through any formula (Fike and Alonso 2011, AIAA 2011-886).

use std::ops::{Add, Div, Mul, Neg, Sub};

/// What formulas of structures are made of.
pub trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    fn of(value: f64) -> Self;
    /// A function with its value and first two derivatives.
    fn through(self, function: impl Fn(f64) -> [f64; 3]) -> Self;

    fn sin(self) -> Self {
        self.through(|x| [x.sin(), x.cos(), -x.sin()])
    }

    fn cos(self) -> Self {
        self.through(|x| [x.cos(), -x.sin(), -x.cos()])
    }

    fn exp(self) -> Self {
        self.through(|x| [x.exp(); 3])
    }

    fn sqrt(self) -> Self {
        self.through(|x| {
            let root = x.sqrt();
            [root, 0.5 / root, -0.25 / (x * root)]
        })
    }
}

impl Number for f64 {
    fn of(value: f64) -> f64 {
        value
    }

    fn through(self, function: impl Fn(f64) -> [f64; 3]) -> f64 {
        function(self)[0]
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Dual {
    pub value: f64,
    pub one: f64,
    pub other: f64,
    pub both: f64,
}

impl Number for Dual {
    fn of(value: f64) -> Dual {
        Dual { value, one: 0.0, other: 0.0, both: 0.0 }
    }

    fn through(self, function: impl Fn(f64) -> [f64; 3]) -> Dual {
        let [f, d, dd] = function(self.value);
        Dual { value: f, one: d * self.one, other: d * self.other, both: d * self.both + dd * self.one * self.other }
    }
}

impl Add for Dual {
    type Output = Dual;
    fn add(self, r: Dual) -> Dual {
        Dual {
            value: self.value + r.value,
            one: self.one + r.one,
            other: self.other + r.other,
            both: self.both + r.both,
        }
    }
}

impl Neg for Dual {
    type Output = Dual;
    fn neg(self) -> Dual {
        Dual { value: -self.value, one: -self.one, other: -self.other, both: -self.both }
    }
}

impl Sub for Dual {
    type Output = Dual;
    fn sub(self, r: Dual) -> Dual {
        self + -r
    }
}

impl Mul for Dual {
    type Output = Dual;
    fn mul(self, r: Dual) -> Dual {
        Dual {
            value: self.value * r.value,
            one: self.one * r.value + self.value * r.one,
            other: self.other * r.value + self.value * r.other,
            both: self.both * r.value + self.value * r.both + self.one * r.other + self.other * r.one,
        }
    }
}

impl Div for Dual {
    type Output = Dual;
    fn div(self, r: Dual) -> Dual {
        r.through(|x| [x.recip(), -x.powi(-2), 2.0 * x.powi(-3)]).mul(self)
    }
}
