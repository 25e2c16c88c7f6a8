# Log-likelihoods of R's programs for the problems of stress.py.
#
#     Rscript stress_r.R folder
#
# Every folder/*.csv has a response y and columns x, w, g; its formula and family are in folder/problems.csv. The maxima
# go to folder/peers.csv; NA where a program is missing or stops.

folder <- commandArgs(TRUE)[1]
problems <- read.csv(file.path(folder, "problems.csv"), stringsAsFactors = FALSE)
programs <- Filter(function(p) requireNamespace(p, quietly = TRUE), c("lme4", "glmmTMB"))
fits <- list(lme4 = function(...) lme4::glmer(...), glmmTMB = function(...) glmmTMB::glmmTMB(...))

maximum <- function(program, formula, data, family) {
  fit <- function() fits[[program]](as.formula(formula), data = data, family = family)
  tryCatch(suppressMessages(suppressWarnings(as.numeric(logLik(fit())))), error = function(e) NA)
}

for (program in programs) problems[[program]] <- NA
for (i in seq_len(nrow(problems))) {
  data <- read.csv(file.path(folder, paste0(problems$name[i], ".csv")))
  for (program in programs) {
    problems[i, program] <- maximum(program, problems$formula[i], data, problems$family[i])
  }
}
write.csv(problems[c("name", programs)], file.path(folder, "peers.csv"), row.names = FALSE)
