"""The recovery ladder: what is tried, rung by rung, where the images do not come together by themselves."""
