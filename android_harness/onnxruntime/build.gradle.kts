// Not run where it was written: see settings.gradle.kts.
plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "org.pocketgan.harness.onnxruntime"
    compileSdk = libs.versions.compileSdk.get().toInt()
    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    api(project(":core"))
    // -Ppocketgan.qnn takes the build for Qualcomm's NPUs, which brings Qualcomm's libraries under Qualcomm's licence.
    val qnn = providers.gradleProperty("pocketgan.qnn").isPresent
    implementation(if (qnn) libs.onnxruntime.android.qnn else libs.onnxruntime.android)
    testImplementation(libs.onnxruntime.jvm)
    testImplementation(libs.kotlin.test.junit)
    testImplementation(libs.junit)
}
