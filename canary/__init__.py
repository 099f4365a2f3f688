"""Runs the shipped canary, its pods and its gates on real traffic, and says promote or roll back.

The arrows point one way: `cli` → `runner` → grounds (adapters) and pure modules → `model`.
Pure modules (`model`, `durations`, `expression`, `analysis`, `replicas`, `controller`,
`timescale`, `verdict`) start nothing, read nothing and know no clock but the one they are handed.
"""
