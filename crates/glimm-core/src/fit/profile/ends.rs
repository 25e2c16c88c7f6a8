//! Along the ridge from the maximum to where the likelihood has fallen by a given amount, or the goal has a given value.

use super::goal::Goal;
use super::ridge::{ON_RIDGE, Point, climb, look, restore};
use super::surface::Surface;
use crate::objective::Reject;

/// Distance to the ridge up to which its quadratic says where to go on.
const NEARBY: f64 = 0.05;
/// Distance beyond which a step along the ridge was too long.
const LOST: f64 = 25.0;
const MOST_MOVES: usize = 60;
const MOST_HALVES: usize = 15;
/// Error of the signed root, relative to its size, at which one more Newton step is exact.
const ARRIVED: f64 = 1e-6;
/// The root is near enough for nodes to be placed there.
const NEAR: f64 = 0.01;
/// Growth of the way along a ridge that does not fall.
const GROWTH: f64 = 1.6;
/// Curvature errors of the goal after which a ridge counts as flat.
const ENDLESS: f64 = 1e4;

/// How the search for a point of the profile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Reached,
    /// The goal cannot go further: the likelihood at its limit has not fallen as far.
    Limit,
    /// The likelihood does not fall as far, however far one goes.
    Flat,
    /// There is no value of the likelihood on the way.
    NoValue,
    /// The likelihood is higher here than at the fit.
    Higher,
    /// The goal is not defined at the fit, or not told by the data.
    Undefined,
}

impl Ending {
    pub fn name(self) -> &'static str {
        match self {
            Ending::Reached => "reached",
            Ending::Limit => "limit",
            Ending::Flat => "flat",
            Ending::NoValue => "no value",
            Ending::Higher => "higher",
            Ending::Undefined => "undefined",
        }
    }
}

/// A point of the profile, in standard parameters.
#[derive(Clone)]
pub(super) struct Reached {
    pub ending: Ending,
    pub c: f64,
    pub height: f64,
    pub psi: Vec<f64>,
}

/// The walk over one goal.
pub(super) struct Walk<'a, 'b> {
    pub surface: &'a mut Surface<'b>,
    pub goal: &'a Goal,
    pub limits: [f64; 2],
    /// Height of the maximum, and what a higher point may be above it.
    pub top: f64,
    pub slack: f64,
    /// The goal and its curvature error at the maximum.
    pub center: f64,
    pub error: f64,
}

impl Walk<'_, '_> {
    /// The size of the signed root.
    pub fn root(&self, height: f64) -> f64 {
        (2.0 * (self.top - height)).max(0.0).sqrt()
    }

    /// Where the root is `target` on one side (-1 or 1), from `start` on the ridge.
    pub fn reach_root(&mut self, start: &Point, side: f64, target: f64) -> Result<(Reached, Point), Reject> {
        let mut here = start.clone();
        let (mut inside, mut outside) = (start.c, None::<f64>);
        let mut stubborn = false;
        for _ in 0..MOST_MOVES {
            if here.height > self.top + self.slack {
                // Nodes from elsewhere may be wrong about it.
                if self.surface.place(&here.psi)? {
                    // What older nodes said of other places does not count.
                    (inside, outside) = (start.c, None);
                    here = look(self.surface, self.goal, here.psi)?;
                    continue;
                }
                return Ok((self.end(Ending::Higher, &here), here));
            }
            if here.upwards.is_some() && here.distance < NEARBY && !stubborn {
                here = climb(self.surface, self.goal, here, ON_RIDGE)?;
                stubborn = here.upwards.is_some();
                continue;
            }
            let z = self.root(here.height);
            if z < target {
                inside = here.c
            } else {
                outside = Some(here.c)
            }
            let next = self.next(&here, side, target, z, inside, outside);
            let exact = here.distance < ON_RIDGE;
            if self.at_limit(side, here.c) && z < target {
                here = climb(self.surface, self.goal, here, ON_RIDGE)?;
                if self.root(here.height) < target {
                    return Ok((self.end(Ending::Limit, &here), here));
                }
                continue;
            }
            if (here.c - self.center).abs() > ENDLESS * self.error {
                return Ok((self.end(Ending::Flat, &here), here));
            }
            if (z - target).abs() < ARRIVED * target && exact {
                if self.surface.place(&here.psi)? {
                    (inside, outside) = (start.c, None);
                    here = look(self.surface, self.goal, here.psi)?;
                    continue;
                }
                return Ok((self.arrived(&here, next), here));
            }
            if (z - target).abs() < NEAR * target && self.surface.place(&here.psi)? {
                (inside, outside) = (start.c, None);
                here = look(self.surface, self.goal, here.psi)?;
                continue;
            }
            here = self.moved(&here, next, (z - target).abs() < ARRIVED * target)?;
        }
        Ok((self.end(Ending::Flat, &here), here))
    }

    /// The maximum where the goal is `c`.
    pub fn reach_value(&mut self, start: &Point, c: f64) -> Result<(Reached, Point), Reject> {
        let mut here = start.clone();
        if c < self.limits[0] || c > self.limits[1] {
            return Ok((self.end(Ending::Undefined, &here), here));
        }
        for _ in 0..MOST_MOVES {
            if here.c == c && here.distance < ON_RIDGE {
                here = climb(self.surface, self.goal, here, ON_RIDGE)?;
                if !self.surface.place(&here.psi)? {
                    let ending = if here.height > self.top + self.slack { Ending::Higher } else { Ending::Reached };
                    return Ok((self.end(ending, &here), here));
                }
                here = look(self.surface, self.goal, here.psi)?;
                here.c = c;
                continue;
            }
            here = self.moved(&here, c, true)?;
        }
        Ok((self.end(Ending::NoValue, &here), here))
    }

    /// Newton's step in the root, which is nearly linear in the goal, within what is known.
    fn next(&self, here: &Point, side: f64, target: f64, z: f64, inside: f64, outside: Option<f64>) -> f64 {
        let falling = -side * here.slope;
        let newton = if z < 0.05 * target {
            // The quadratic at the top.
            let bend = (-here.bend).max(f64::MIN_POSITIVE);
            here.c + side * (target - z) / bend.sqrt()
        } else if falling > 0.0 {
            here.c + side * (target - z) * z / falling
        } else {
            f64::NAN
        };
        let longest = (here.c - self.center).abs() * 4.0 + 4.0 * target * self.error;
        let ahead = match outside {
            Some(out) => {
                let within = (newton - inside) * (newton - out) < 0.0;
                if within { newton } else { 0.5 * (inside + out) }
            }
            None if newton.is_nan() || !newton.is_finite() => {
                here.c + side * (GROWTH - 1.0) * (here.c - self.center).abs().max(self.error)
            }
            None => here.c + (newton - here.c).clamp(-longest, longest),
        };
        ahead.clamp(self.limits[0], self.limits[1])
    }

    fn at_limit(&self, side: f64, c: f64) -> bool {
        let limit = if side < 0.0 { self.limits[0] } else { self.limits[1] };
        limit.is_finite() && side * (c - limit) >= -1e-12 * (1.0 + limit.abs())
    }

    /// To the value `c` along the ridge and on towards it; `whole` climbs until it is reached.
    fn moved(&mut self, here: &Point, c: f64, whole: bool) -> Result<Point, Reject> {
        let mut part = 1.0;
        for _ in 0..MOST_HALVES {
            let target = if part == 1.0 { c } else { here.c + part * (c - here.c) };
            let ahead = here.psi.iter().zip(&here.step).zip(&here.along);
            let guess = ahead.map(|((x, s), d)| x + s + d * (target - here.c)).collect();
            if let Some(psi) = restore(self.surface, self.goal, guess, target) {
                match look(self.surface, self.goal, psi) {
                    Err(Reject::Interrupted) => return Err(Reject::Interrupted),
                    Ok(mut next) if next.distance < LOST || (part < 1e-2 && next.value.is_finite()) => {
                        next.c = target;
                        let tolerance = if whole { ON_RIDGE } else { NEARBY };
                        let loose = next.distance >= tolerance;
                        let mut next = if loose { climb(self.surface, self.goal, next, tolerance)? } else { next };
                        next.c = target;
                        return Ok(next);
                    }
                    _ => {}
                }
            }
            part *= 0.5;
        }
        Err(Reject::NoMode)
    }

    /// One last step, without another evaluation.
    fn arrived(&self, here: &Point, c: f64) -> Reached {
        let ahead = here.psi.iter().zip(&here.step).zip(&here.along);
        let psi = ahead.map(|((x, s), d)| x + s + d * (c - here.c)).collect();
        let dc = c - here.c;
        Reached { ending: Ending::Reached, c, height: here.height + here.slope * dc, psi }
    }

    pub fn end(&self, ending: Ending, here: &Point) -> Reached {
        let psi = here.psi.iter().zip(&here.step).map(|(x, s)| x + s).collect();
        Reached { ending, c: here.c, height: here.height, psi }
    }
}
