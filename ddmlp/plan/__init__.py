"""Decides which rows make each step, and in which order their gradients are added. Integers only."""
