variable "push_subjects" {
  description = <<-TEXT
    GitHub environments whose jobs may push images, each with the whole `sub` of its tokens. GitHub's
    immutable form carries the ids of owner and repository:
    repo:OWNER@OWNER_ID/REPO@REPO_ID:environment:NAME.
  TEXT
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for subject in values(var.push_subjects) : can(regex("^repo:[^@/:*]+@[0-9]+/[^@/:*]+@[0-9]+:environment:[^:*]+$", subject))])
    error_message = "push_subjects are whole subjects of the immutable form repo:OWNER@OWNER_ID/REPO@REPO_ID:environment:NAME, without wildcards; they were [${join(", ", values(var.push_subjects))}]."
  }
}
