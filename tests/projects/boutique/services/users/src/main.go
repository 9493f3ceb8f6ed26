package main // users
