variable "runners" {
  description = <<-TEXT
    GitHub runners inside the network, which push images, apply Terraform and make the database role:
    a Container Apps job that is started for each queued workflow job and costs nothing in between
    (about 0.10 USD per vCPU and hour while it runs). Null where the pipeline has another way in.
    image: a runner image, by digest. app_id, installation_id: the GitHub App that registers them, of
    the organisation, with the permission to manage its runners and nothing else. group_id: the runner
    group that they join, which lets publish.yaml and terraform.yaml of main in alone.
    max_executions: how many at once.
  TEXT
  type = object({
    image           = string
    app_id          = string
    installation_id = string
    group_id        = string
    max_executions  = optional(number, 4)
  })
  default = null

  validation {
    condition     = var.runners == null || can(regex("@sha256:[0-9a-f]{64}$", var.runners.image))
    error_message = "runners.image is named by digest (…@sha256:<64 hex digits>): it runs with the pipeline's rights; it was \"${try(var.runners.image, "")}\"."
  }

  validation {
    condition     = var.runners == null || alltrue([for id in [try(var.runners.app_id, ""), try(var.runners.installation_id, ""), try(var.runners.group_id, "")] : can(regex("^[0-9]+$", id))])
    error_message = "runners.app_id, runners.installation_id and runners.group_id are numbers, as GitHub shows them; they were \"${try(var.runners.app_id, "")}\", \"${try(var.runners.installation_id, "")}\" and \"${try(var.runners.group_id, "")}\"."
  }

  validation {
    condition     = var.runners == null || try(var.runners.max_executions >= 1 && var.runners.max_executions <= 20, false)
    error_message = "runners.max_executions is 1 to 20; it was ${try(var.runners.max_executions, "null")}."
  }

  validation {
    condition     = var.runners == null || var.outbound_type != "loadBalancer"
    error_message = "runners need a way out of their own: with outbound_type loadBalancer only nodes have one."
  }
}
