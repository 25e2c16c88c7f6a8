#[path="../tests/common.rs"] mod common; use common::*;
use glimm_core::objective::lmm::*; use glimm_core::objective::*; use glimm_core::optim::*;
fn main(){
 for mode in 0..3 { let mut hist=[0usize;120]; let mut worst=0; let mut bad=0; let mut tot=0;
 for shape in [Shape::Intercept,Shape::Slope,Shape::Diagonal,Shape::Three,Shape::TwoTerms,Shape::Nested,Shape::Crossed,Shape::CrossedSlopes]{ 
 let mut sh=0;
 for seed in 0..50{ let mut data=problem("gaussian","identity",shape,1000+seed);
  // random effects of sd depending on seed
  let sd=[0.0,0.3,1.0,3.0,30.0][seed as usize%5]; 
  for (t,term) in data.terms.iter().enumerate(){ for i in 0..data.y.len(){ let g=term.codes[i] as f64; for (c,col) in term.columns.iter().enumerate(){ data.y[i]+=sd*((g*12.9898+seed as f64*3.1+t as f64*7.7+c as f64*1.3).sin()*43758.5453).fract()*1.7*col.at(i);} } }
  let mut l=Lmm::new(&data,seed%2==0).unwrap(); let start=l.start();
  let st=|tol:f64|Settings{curvature:Curvature::Exact,tolerance:tol,inner_tolerance:1.0,max_iterations:100,reach:vec![f64::INFINITY;start.len()]};
  let o=match mode{0=>maximise(&mut l,&start,st(1e-8),&mut|_,_,_|true),1=>maximise(&mut Averaged(&mut l),&start,st(1e-8),&mut|_,_,_|true),
   _=>{let a=maximise(&mut Averaged(&mut l),&start,st(1e-2),&mut|_,_,_|true); let mut b=maximise(&mut l,&a.psi,st(1e-8),&mut|_,_,_|true); b.evaluations+=a.evaluations; b.iterations+=a.iterations; b}};
  hist[o.evaluations.min(119)]+=1; sh+=o.evaluations; if o.reason!=Reason::Converged{bad+=1;} worst=worst.max(o.evaluations); tot+=o.evaluations;
 } println!("  {mode} {shape:?} mean {}",sh as f64/50.0);}
 println!("mode {mode}: worst {worst} bad {bad} mean {}",tot as f64/400.0);
 println!("{:?}",&hist[..40]);
 }}
