package main // payment
